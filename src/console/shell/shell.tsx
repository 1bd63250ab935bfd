/** The frame of all pages: navigation at the side, the cluster's state and the person at the top. */
import { ActionIcon, Button, Menu, Tooltip, useMantineColorScheme } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import {
  CircleUser,
  ListTodo,
  LogOut,
  Menu as MenuSign,
  Moon,
  Sun,
  SunMoon,
  UserCog,
} from 'lucide-react';
import { Suspense } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { mayAct } from '../../api/roles.ts';
import { useCenter, useCluster, useList, useObserved, useSession } from '../live/hooks.ts';
import type { LoadedPage } from '../pages/define-page.ts';
import { pages } from '../pages/registry.ts';
import { Empty } from '../parts/empty.tsx';
import { ErrorBoundary } from '../parts/error-boundary.tsx';
import { Page } from '../parts/page.tsx';
import { HealthStrip } from './health-strip.tsx';
import { Mark } from './mark.tsx';
import { Navigation } from './navigation.tsx';
import { isUnderWay, TasksDrawer } from './tasks-drawer.tsx';

export function Shell() {
  const [isNavOpen, nav] = useDisclosure(false);
  const [areTasksOpen, tasks] = useDisclosure(false);
  const [location] = useLocation();
  return (
    <div className="u-shell" data-nav-open={isNavOpen}>
      <a className="u-skip" href="#contents">
        Skip to the contents
      </a>
      <header className="u-header">
        <ActionIcon
          className="u-nav-toggle"
          variant="subtle"
          color="gray"
          aria-label="Navigation"
          aria-expanded={isNavOpen}
          onClick={nav.toggle}
        >
          <MenuSign size={18} aria-hidden />
        </ActionIcon>
        <span className="u-brand">
          <Mark /> Umbra
        </span>
        <HealthStrip />
        <TasksButton onClick={tasks.open} />
        <ColorScheme />
        <Person />
      </header>
      <Navigation onGo={nav.close} />
      <main id="contents" className="u-main" tabIndex={-1}>
        <Connection />
        <ErrorBoundary place={location}>
          <Suspense fallback={null}>
            <Pages />
          </Suspense>
        </ErrorBoundary>
      </main>
      <TasksDrawer isOpen={areTasksOpen} onClose={tasks.close} />
    </div>
  );
}

function Pages() {
  const isKnown = useCenter() !== undefined;
  // A page that is shown before the cluster is known would say that there is nothing.
  if (!isKnown) return null;
  return (
    <Switch>
      {pages.map((page) => (
        <Route key={page.path} path={page.path}>
          {(params) => <Permitted page={page} params={params} />}
        </Route>
      ))}
      <Route>
        <Page title="There is no such page">
          <Empty title="Nothing is here">The address is of no page of this console.</Empty>
        </Page>
      </Route>
    </Switch>
  );
}

function Permitted({
  page,
  params,
}: {
  readonly page: LoadedPage;
  readonly params: Readonly<Record<string, string | undefined>>;
}) {
  const { role } = useSession();
  if (mayAct(role, page.access)) return <page.component params={params} />;
  return (
    <Page title={page.label}>
      <Empty title={`For people of the role ${page.access}`}>
        You are logged in as {role}. An administrator can give you another role.
      </Empty>
    </Page>
  );
}

/** Said only when it is not as it should be. */
function Connection() {
  const state = useObserved(useCluster().state);
  const isKnown = useCenter() !== undefined;
  return (
    <div role="status" className="u-connection" data-state={state}>
      {state !== 'open' &&
        (isKnown
          ? 'The center does not answer. What you see may be old; protected VMs are not affected.'
          : 'Connecting to the center …')}
    </div>
  );
}

function TasksButton({ onClick }: { readonly onClick: () => void }) {
  const running = useList('tasks').filter(isUnderWay).length;
  return (
    <Button
      variant="subtle"
      color="gray"
      leftSection={<ListTodo size={16} aria-hidden />}
      onClick={onClick}
      className="u-header-button"
    >
      Tasks{running > 0 && <span className="u-count">{running}</span>}
    </Button>
  );
}

const schemes = [
  ['light', 'Light', Sun],
  ['dark', 'Dark', Moon],
  ['auto', 'As the system', SunMoon],
] as const;

function ColorScheme() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [, , Sign] = schemes.find(([scheme]) => scheme === colorScheme)!;
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label="Colours">
          <Sign size={17} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {schemes.map(([scheme, label, Each]) => (
          <Menu.Item
            key={scheme}
            leftSection={<Each size={15} aria-hidden />}
            onClick={() => setColorScheme(scheme)}
          >
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Person() {
  const { name, role } = useSession();
  const link = useCluster();
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Tooltip label={`${name}, ${role}`}>
          <Button
            variant="subtle"
            color="gray"
            className="u-header-button"
            leftSection={<CircleUser size={17} aria-hidden />}
          >
            {name}
          </Button>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {name}, {role}
        </Menu.Label>
        <Menu.Item component={Link} href="/account" leftSection={<UserCog size={15} aria-hidden />}>
          Your account
        </Menu.Item>
        <Menu.Item leftSection={<LogOut size={15} aria-hidden />} onClick={() => link.logout()}>
          Log out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
