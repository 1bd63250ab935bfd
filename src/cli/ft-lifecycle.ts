/** `umbra ft check|suspend|resume|migrate-shadow|restart-shadow`. */
import type { Command } from 'commander';
import type { Client } from '../api/client.ts';
import type { FtStatusView, VmView } from '../api/views.ts';
import { words } from './ft.ts';
import { centerOptions, show, withCenter } from './session.ts';
import { noWait, waitForVm } from './wait.ts';

export function registerFtLifecycle(ft: Command): void {
  centerOptions(ft.command('check'))
    .description('what would keep a VM from being protected; exit code 1 if anything does')
    .argument('<vm>')
    .option('--json', 'print { ok, checks: [{ check, ok, text }] }')
    .action(async (name: string, { json, ...options }) => {
      const report = await withCenter(options, (client) =>
        client.call('checkFt', { params: { vm: name } }),
      );
      show(json, report, () =>
        report.checks.map(({ ok, text }) => `${ok ? 'ok    ' : 'FAILED'}  ${text}`).join('\n'),
      );
      if (!report.ok) process.exitCode = 1;
    });

  centerOptions(ft.command('suspend'))
    .description("stop protecting a VM, and keep the replica of its disks for 'resume'")
    .argument('<vm>')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, ...options }) => {
      const status = await withCenter(options, (client) =>
        client.call('suspendFt', { params: { vm: name } }),
      );
      show(json, status, () => `Fault tolerance of ${name} is suspended.`);
    });

  noWait(centerOptions(ft.command('resume')))
    .description('protect a VM again; for a running one, wait until it is protected')
    .argument('<vm>')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, wait, ...options }) => {
      const status = await withCenter(options, async (client) => {
        const asked = await client.call('resumeFt', { params: { vm: name } });
        return wait && asked.state !== 'enabled'
          ? protectedAgain(client, name, isProtected)
          : asked;
      });
      show(json, status, () => `Fault tolerance of ${name} is resumed: ${words(status)}.`);
    });

  noWait(centerOptions(ft.command('migrate-shadow')))
    .description('move the shadow to another host; until it is there the VM is not protected')
    .argument('<vm>')
    .option('--to <host>', 'where to; by default where most memory is free')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, wait, to, ...options }) => {
      const status = await withCenter(options, async (client) => {
        const before = await client.call('ftStatus', { params: { vm: name } });
        const body = to === undefined ? {} : { host: to };
        const asked = await client.call('migrateShadow', { params: { vm: name }, body });
        const isMoved = (vm: VmView): boolean =>
          isProtected(vm) && vm.ft.generation > before.generation;
        return wait ? protectedAgain(client, name, isMoved) : asked;
      });
      show(json, status, () =>
        wait
          ? `The shadow of ${name} is on ${status.shadow?.host}: ${words(status)}.`
          : `The shadow of ${name} moves.`,
      );
    });

  noWait(centerOptions(ft.command('restart-shadow')))
    .description('end the shadow for a test, and wait until a new one protects the VM')
    .argument('<vm>')
    .option('--json', 'print the status as JSON')
    .action(async (name: string, { json, wait, ...options }) => {
      const status = await withCenter(options, async (client) => {
        const before = await client.call('ftStatus', { params: { vm: name } });
        const asked = await client.call('restartShadow', { params: { vm: name } });
        const isNew = (vm: VmView): boolean =>
          isProtected(vm) && vm.ft.generation > before.generation;
        return wait ? protectedAgain(client, name, isNew) : asked;
      });
      show(json, status, () => `The shadow of ${name} has been restarted: ${words(status)}.`);
    });
}

const isProtected = ({ ft }: VmView): boolean => ft.state === 'running';

async function protectedAgain(
  client: Client,
  name: string,
  done: (vm: VmView) => boolean,
): Promise<FtStatusView> {
  return (await waitForVm(client, name, done)).ft;
}
