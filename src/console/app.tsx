/** Who is logged in decides what is shown: nothing yet, the login, or the shell with its pages. */
import { Button, MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import type { ClusterLink } from './live/cluster.ts';
import { ClusterProvider, useObserved } from './live/hooks.ts';
import { nonce } from './nonce.ts';
import { Problem } from './parts/problem.tsx';
import { Login } from './session/login.tsx';
import { LoginAgain } from './session/login-again.tsx';
import { Shell } from './shell/shell.tsx';
import { theme } from './theme.ts';

/** What is read on demand. It is read again when a page asks anew, not by the clock. */
const queries = new QueryClient({
  defaultOptions: { queries: { retry: false, refetchOnWindowFocus: false, staleTime: 2_000 } },
});

export function App({ link }: { readonly link: ClusterLink }) {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      <QueryClientProvider client={queries}>
        <ClusterProvider value={link}>
          <Notifications position="bottom-right" limit={4} containerWidth={400} />
          <Gate link={link} />
        </ClusterProvider>
      </QueryClientProvider>
    </MantineProvider>
  );
}

function Gate({ link }: { readonly link: ClusterLink }) {
  const state = useObserved(link.session);
  const [failure, setFailure] = useState<unknown>();
  useEffect(() => {
    link.begin().catch(setFailure);
  }, [link]);
  if (state.kind === 'unknown') return failure === undefined ? null : <Unreachable why={failure} />;
  if (state.kind === 'nobody') return <Login />;
  return (
    <>
      <Shell />
      {state.kind === 'interrupted' && <LoginAgain session={state.session} why={state.why} />}
    </>
  );
}

function Unreachable({ why }: { readonly why: unknown }) {
  return (
    <main className="u-alone">
      <Problem error={why} />
      <Button onClick={() => location.reload()}>Try again</Button>
    </main>
  );
}
