/** `umbra ft on|off|status|test-failover`; the rest is in ft-lifecycle.ts. */
import type { Command } from 'commander';
import type { FtStatusView } from '../api/views.ts';
import { registerFtLifecycle } from './ft-lifecycle.ts';
import { centerOptions, fields, ifVersion, mebibytes, show, withCenter } from './session.ts';
import { noWait, waitForVm } from './wait.ts';

export function registerFt(program: Command): void {
  const ft = program.command('ft').description('fault tolerance of VMs');
  registerFtLifecycle(ft);

  ifVersion(noWait(centerOptions(ft.command('on'))))
    .description('turn fault tolerance on; for a running VM, wait until it is protected')
    .argument('<vm>')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, wait, ...options }) => {
      const status = await withCenter(options, async (client) => {
        const asked = await client.call('turnFtOn', { params: { vm: name } }, options);
        if (!wait || asked.state === 'enabled') return asked;
        return (await waitForVm(client, name, (vm) => vm.ft.state === 'running')).ft;
      });
      show(json, status, () => `Fault tolerance of ${name} is on: ${words(status)}.`);
    });

  ifVersion(centerOptions(ft.command('off')))
    .description('turn fault tolerance off; the shadow ends')
    .argument('<vm>')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, ...options }) => {
      const status = await withCenter(options, (client) =>
        client.call('turnFtOff', { params: { vm: name } }, options),
      );
      show(json, status, () => `Fault tolerance of ${name} is off.`);
    });

  centerOptions(ft.command('status'))
    .description('state of protection, both copies, and the lag between them')
    .argument('<vm>')
    .option('--json', 'print { state, reason, generation, primary, shadow } and more')
    .action(async (name: string, { json, ...options }) => {
      const status = await withCenter(options, (client) =>
        client.call('ftStatus', { params: { vm: name } }),
      );
      show(json, status, () => panel(status));
    });

  noWait(centerOptions(ft.command('test-failover')))
    .description('let the shadow take over as in a failure, and wait until a new one protects it')
    .argument('<vm>')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, wait, ...options }) => {
      const status = await withCenter(options, async (client) => {
        const handed = await client.call('testFailover', { params: { vm: name } });
        if (!wait) return handed;
        return (await waitForVm(client, name, (vm) => vm.ft.state === 'running')).ft;
      });
      show(json, status, () => `${name} runs on ${status.primary?.host} now: ${words(status)}.`);
    });
}

/** The reference's own words (FACTS 3). */
const stateWords: Readonly<Record<FtStatusView['state'], string>> = {
  notConfigured: 'Not Protected: not turned on',
  disabled: 'Not Protected: Disabled',
  enabled: 'Not Protected: VM not Running',
  needShadow: 'Not Protected: Need Shadow VM',
  starting: 'Not Protected: Starting',
  running: 'Protected',
};

export function words({ state, reason }: FtStatusView): string {
  return state === 'needShadow' && reason ? `${stateWords[state]} (${reason})` : stateWords[state];
}

function compared(replica: NonNullable<NonNullable<FtStatusView['shadow']>['replica']>): string {
  const { bytesTotal, bytesCompared, bytesSent } = replica;
  // No disk at all, or shared ones only.
  if (bytesTotal === 0) return 'none to compare';
  const share = Math.floor((100 * bytesCompared) / bytesTotal);
  return `${share} % of ${mebibytes(bytesTotal)}, ${mebibytes(bytesSent)} sent`;
}

const known = (value: number | null, text: (value: number) => string): string =>
  value === null ? '-' : text(value);

function panel(status: FtStatusView): string {
  const { primary, shadow } = status;
  const place = (copy: { host: string; pid: number | null } | null) =>
    copy === null ? '-' : `${copy.host}${copy.pid === null ? '' : `, process ${copy.pid}`}`;
  return fields([
    ['fault tolerance', words(status)],
    ['generation', status.generation],
    ['primary', place(primary)],
    ['shadow', place(shadow)],
    [
      'shadow CPU',
      known(status.shadowCpuPercent, (percent) => `${percent.toFixed(1)} % of a core`),
    ],
    ['shadow memory', known(status.shadowMemoryBytes, mebibytes)],
    ['lockstep interval', shadow === null ? '-' : `${shadow.lagMs.toFixed(1)} ms`],
    ['log bandwidth', known(status.logMbitPerSecond, (rate) => `${rate.toFixed(3)} Mbit/s`)],
    ['disks compared', shadow?.replica === undefined ? '-' : compared(shadow.replica)],
    ['log sent', `${(status.logBytesSent / 1e6).toFixed(2)} MB`],
    ['fingerprints compared', status.fingerprintsCompared],
    ['divergences', status.divergences],
  ]);
}
