/** Who one is here, and one's own password. */
import { Button, Group, PasswordInput } from '@mantine/core';
import { ExternalLink } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'wouter';
import { useCluster, useSession } from '../../live/hooks.ts';
import { useApiForm } from '../../parts/form.tsx';
import { differing, NewPassword, noPassword } from '../../parts/new-password.tsx';
import { Facts, Page, Panel } from '../../parts/page.tsx';
import { Time } from '../../parts/time.tsx';
import { toastDone } from '../../parts/toast.tsx';

export default function Account() {
  const { name, role, expires } = useSession();
  return (
    <Page title="Your account">
      <div className="u-columns">
        <Panel title="Session">
          <Facts
            facts={[
              ['Logged in as', name],
              ['Role', role],
              expires !== null && ['Until', <Time key="until" at={expires} />],
            ]}
          />
          <p className="u-note">
            An administrator can give you another role. For scripts, make an{' '}
            <Link href="/tokens">API token</Link> instead of giving them your password; the{' '}
            <a href="/api/reference" target="_blank" rel="noreferrer">
              API reference <ExternalLink size={12} aria-hidden />
            </a>{' '}
            has all calls.
          </p>
        </Panel>
        <Panel title="Password">
          <Password name={name} />
        </Panel>
      </div>
    </Page>
  );
}

function Password({ name }: { readonly name: string }) {
  const { client } = useCluster();
  const [present, setPresent] = useState('');
  const [value, setValue] = useState(noPassword);
  const { form, field, isBusy, problemView } = useApiForm(
    'setUserPassword',
    { password: value.password, present },
    async (body) => {
      await client.call('setUserPassword', { params: { user: name }, body });
      setPresent('');
      setValue(noPassword);
      toastDone('You have a new password. Your other sessions have ended.');
    },
    { ...differing(value), ...(present === '' && { present: 'This is needed.' }) },
  );
  return (
    <form {...form} className="u-stack">
      <input type="text" name="username" autoComplete="username" value={name} readOnly hidden />
      <PasswordInput
        label="Present password"
        autoComplete="current-password"
        visibilityToggleButtonProps={{ 'aria-label': 'Show or hide the present password' }}
        value={present}
        onChange={(event) => setPresent(event.currentTarget.value)}
        {...field('present')}
      />
      <NewPassword value={value} onChange={setValue} field={field} />
      {problemView}
      <Group justify="flex-end">
        <Button type="submit" loading={isBusy}>
          Change password
        </Button>
      </Group>
    </form>
  );
}
