/** One VM: its state, its power, and its tabs. */
import { Tabs } from '@mantine/core';
import { Suspense } from 'react';
import { Link, useLocation } from 'wouter';
import { mayAct } from '../../../api/roles.ts';
import { useSession, useVm } from '../../live/hooks.ts';
import { Empty } from '../../parts/empty.tsx';
import { ErrorBoundary } from '../../parts/error-boundary.tsx';
import { Page } from '../../parts/page.tsx';
import { ftStatus, powerStatus, Status } from '../../parts/status.tsx';
import type { PageParams } from '../define-page.ts';
import { PowerActions } from './power-actions.tsx';
import { tabs } from './tabs.ts';

export default function Vm({ params }: PageParams) {
  const name = params['vm'] ?? '';
  const vm = useVm(name);
  const [, go] = useLocation();
  const { role } = useSession();
  const above = (
    <nav aria-label="Breadcrumb" className="u-crumbs">
      <Link href="/vms">Virtual machines</Link>
    </nav>
  );
  if (vm === undefined) {
    return (
      <Page title={name} above={above}>
        <Empty title={`There is no VM ${name}`}>It may have been deleted.</Empty>
      </Page>
    );
  }
  const permitted = tabs.filter(({ access }) => mayAct(role, access));
  const tab = permitted.find(({ path }) => path === params['tab']) ?? permitted[0]!;
  return (
    <Page
      title={name}
      above={above}
      fills
      state={
        <>
          <Status {...powerStatus(vm)} />
          {vm.ft.state !== 'notConfigured' && <Status {...ftStatus(vm.ft)} />}
        </>
      }
      actions={<PowerActions vm={vm} />}
    >
      <Tabs
        value={tab.path}
        onChange={(path) => go(`/vms/${name}/${path}`)}
        keepMounted={false}
        activateTabWithKeyboard={false}
        className="u-tabs"
      >
        <Tabs.List>
          {permitted.map(({ path, label }) => (
            <Tabs.Tab key={path} value={path}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {permitted.map(({ path, component: Tab }) => (
          <Tabs.Panel key={path} value={path} className="u-tab-panel">
            <ErrorBoundary place={`${name}/${path}`}>
              <Suspense fallback={null}>
                <Tab vm={vm} />
              </Suspense>
            </ErrorBoundary>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}
