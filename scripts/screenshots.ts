/**
 * `npm run screenshots [-- FOLDER]`: every view of the console, light and dark, as PNG files; by
 * default into .cache/screenshots. Two clusters stand for all: one of processes with a protected
 * VM, and a synthetic one of 50 hosts and 1,000 VMs. To be looked at by people after a change.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Page } from 'playwright-core';
import { launch, logIn, noBrowser, open } from '../tests/console/browser.fixture.ts';
import { SyntheticCluster } from '../tests/console/synthetic-cluster.fixture.ts';
import { guestCluster } from '../tests/system/guest-cluster.fixture.ts';
import { buildConsole } from './console.ts';
import { recordedCluster } from './recorded.ts';

interface View {
  readonly name: string;
  readonly path: string;
  /** Until what is awaited is there. */
  readonly ready?: (page: Page) => Promise<unknown>;
}

const password = 'correct horse battery';
const shows = (text: string | RegExp) => (page: Page) =>
  page.getByText(text).filter({ visible: true }).first().waitFor();

/** Of the cluster of processes. */
const views: readonly View[] = [
  { name: 'overview', path: '/', ready: shows('Recent events') },
  { name: 'vms', path: '/vms', ready: shows('2 VMs') },
  { name: 'vm-summary', path: '/vms/web', ready: shows(/Mbit/) },
  { name: 'vm-console', path: '/vms/web/console', ready: shows('Live on') },
  { name: 'vm-fault-tolerance', path: '/vms/web/fault-tolerance', ready: shows(/Mbit/) },
  { name: 'vm-fault-tolerance-off', path: '/vms/plain/fault-tolerance', ready: shows('Turn On') },
  { name: 'vm-charts', path: '/vms/web/charts', ready: shows('Marked moments') },
  { name: 'vm-snapshots', path: '/vms/web/snapshots', ready: shows('Revert') },
  { name: 'vm-snapshots-none', path: '/vms/plain/snapshots', ready: shows('No snapshots yet') },
  { name: 'vm-tasks', path: '/vms/web/tasks', ready: shows('Take snapshot') },
  { name: 'vm-events', path: '/vms/web/events', ready: shows('What happened') },
  { name: 'vm-disks-none', path: '/vms/plain/disks', ready: shows('has no disks') },
  { name: 'hosts', path: '/hosts', ready: shows('Connected') },
  { name: 'host', path: '/hosts/host2', ready: shows('would move') },
  { name: 'topology', path: '/topology', ready: shows('Who protects whom') },
  { name: 'events', path: '/events', ready: shows('What happened') },
  { name: 'tasks', path: '/tasks', ready: shows('Test failover') },
  { name: 'users', path: '/users', ready: shows('olga') },
  { name: 'tokens', path: '/tokens', ready: shows('API tokens') },
  { name: 'audit', path: '/audit', ready: shows('Outcome') },
  { name: 'account', path: '/account', ready: shows('Password') },
];
/** Of the synthetic one. */
const many: readonly View[] = [
  { name: 'many-overview', path: '/', ready: shows('Recent events') },
  { name: 'many-vms', path: '/vms', ready: shows('1,000 VMs') },
  { name: 'many-vm-charts', path: '/vms/web-2/charts', ready: shows('Marked moments') },
  { name: 'many-vm-disks', path: '/vms/web-2/disks', ready: shows('Replicas') },
  { name: 'many-hosts', path: '/hosts', ready: shows('50 host') },
  { name: 'many-host', path: '/hosts/host7', ready: shows(/would move|not be moved/) },
  { name: 'many-topology', path: '/topology', ready: shows('Who protects whom') },
  { name: 'many-alarms', path: '/alarms', ready: shows('Severity') },
];
/** Of one without anything. */
const none: readonly View[] = [
  { name: 'empty-overview', path: '/', ready: shows('Protect your first VM') },
  { name: 'empty-vms', path: '/vms', ready: shows('No virtual machines yet') },
  { name: 'empty-hosts', path: '/hosts', ready: shows('No hosts yet') },
  { name: 'empty-topology', path: '/topology', ready: shows('No hosts yet') },
  { name: 'empty-alarms', path: '/alarms', ready: shows('No alarms') },
];

/** Of a Linux guest that has been recorded. */
const recorded: readonly View[] = [
  { name: 'vm-recordings', path: '/vms/web/recordings', ready: shows('night') },
  {
    name: 'recording',
    path: '/vms/web/recordings/night',
    ready: async (page) => {
      await page.locator('.u-screen .xterm-rows').getByText('ping -c 2').first().waitFor();
      await page.getByRole('slider').focus();
      for (let step = 0; step < 260; step++) await page.keyboard.press('ArrowLeft');
      await page.locator('main h1').focus();
    },
  },
];

/** Fifty hosts take their time on a busy machine. */
const waitMsMax = 60_000;
const settleMs = 1_200;
const repaintMs = 300;

async function shoot(
  page: Page,
  folder: string,
  chosen: readonly View[],
  before: () => void = () => {},
): Promise<void> {
  page.setDefaultTimeout(waitMsMax);
  for (const { name, path, ready } of chosen) {
    before();
    await page.goto(path);
    await ready?.(page);
    await page.waitForTimeout(settleMs);
    before();
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.waitForTimeout(repaintMs);
      await page.screenshot({ path: join(folder, `${name}-${scheme}.png`) });
    }
    console.log(name);
  }
}

if (noBrowser !== false) {
  console.error(`no screenshots: ${noBrowser}`);
  process.exit(1);
}
const args = process.argv.slice(2);
const only = args.find((arg) => arg.startsWith('--only='))?.slice('--only='.length);
const wanted = (list: readonly View[]) => list.filter(({ name }) => !only || name.includes(only));
const folder = resolve(args.find((arg) => !arg.startsWith('--')) ?? '.cache/screenshots');
if (only === undefined) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await buildConsole();
const browser = await launch();
try {
  if (wanted(views).length > 0) {
    const guests = await guestCluster();
    try {
      const { cluster } = guests;
      const { client } = cluster;
      const body = { name: 'olga', role: 'administrator', password } as const;
      await client.call('createUser', { body });
      for (const host of ['host1', 'host2', 'host3']) await cluster.daemon('host', host);
      await guests.protectedVm('host1');
      await client.call('createVm', { body: { name: 'plain', image: 'test' } });
      await client.call('testFailover', { params: { vm: 'web' } });
      await cluster.state('web', 'running');
      await client.call('takeSnapshot', { params: { vm: 'web' }, body: { name: 'before-update' } });
      const { page } = await open(browser, client.wire.url);
      await page.goto('/');
      await page.getByLabel('User').waitFor();
      await shoot(page, folder, wanted([{ name: 'login', path: '/', ready: shows('Log in') }]));
      await logIn(page, 'olga', password);
      await shoot(page, folder, wanted(views));
      const tablet = await open(browser, client.wire.url, {
        viewport: { width: 820, height: 1180 },
      });
      await logIn(tablet.page, 'olga', password);
      const small = wanted(views).map((view) => ({ ...view, name: `tablet-${view.name}` }));
      if (only === undefined) await shoot(tablet.page, folder, small);
    } finally {
      await guests.close();
    }
  }
  if (wanted(recorded).length > 0) {
    const cluster = await recordedCluster();
    try {
      const { client } = cluster;
      await client.call('createUser', { body: { name: 'olga', role: 'operator', password } });
      const size = { viewport: { width: 1280, height: 1180 } };
      const { page } = await open(browser, client.wire.url, size);
      await logIn(page, 'olga', password);
      await shoot(page, folder, wanted(recorded));
    } finally {
      await cluster.close();
    }
  }
  for (const [list, options] of [
    [wanted(many), { hosts: 50, vms: 1_000, everyOff: 50, everyUnprotected: 20 }],
    [wanted(none), { hosts: 0, vms: 0 }],
  ] as const) {
    if (list.length === 0) continue;
    const cluster = await SyntheticCluster.start(options);
    try {
      const { url, administrator } = cluster.center.center;
      const { page } = await open(browser, url);
      page.setDefaultTimeout(waitMsMax);
      await logIn(page, administrator!.name, administrator!.password);
      await shoot(page, folder, list, () => cluster.reconnect());
    } finally {
      await cluster.close();
    }
  }
} finally {
  await browser.close();
}
console.log(`in ${folder}`);
