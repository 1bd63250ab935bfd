/** `umbra host start|list|show|maintenance|remove|revoke`. */
import type { Command } from 'commander';
import type { HostView } from '../api/views.ts';
import { registerHostStart } from './host-start.ts';
import { registerMaintenance } from './maintenance.ts';
import { centerOptions, fields, mebibytes, show, table, withCenter } from './session.ts';

export function registerHost(program: Command): void {
  const host = program.command('host').description('hosts and gateways of the cluster');
  registerHostStart(host);

  centerOptions(host.command('list'))
    .description('hosts, their state and their processes')
    .option('--all', 'gateways, too')
    .option('--json', 'print [{ name, state, pid, vmPids }] and more')
    .action(async ({ all, json, ...options }) => {
      const every = await withCenter(options, (client) => client.call('listHosts'));
      const hosts = every.filter(({ kind }) => all || kind === 'host');
      show(json, hosts, () =>
        hosts.length === 0
          ? 'No hosts yet. Start one: umbra host start --join URL --token T --data DIR'
          : table(['NAME', 'KIND', 'STATE', 'PID', 'VMS', 'MEMORY', 'FREE'], hosts.map(row)),
      );
    });

  centerOptions(host.command('show'))
    .description('one host or gateway')
    .argument('<host>', 'name or id')
    .option('--json', 'print JSON')
    .action(async (name: string, { json, ...options }) => {
      const found = await withCenter(options, (client) =>
        client.call('showHost', { params: { host: name } }),
      );
      show(json, found, () => details(found));
    });

  registerMaintenance(host);

  centerOptions(host.command('remove'))
    .description('forget a host that is gone for good; say so only if nothing of it runs any more')
    .argument('<host>', 'name or id')
    .option('--json', 'print { removed }')
    .action(async (name: string, { json, ...options }) => {
      await withCenter(options, (client) => client.call('removeHost', { params: { host: name } }));
      show(json, { removed: name }, () => `${name} has been removed.`);
    });

  centerOptions(host.command('revoke'))
    .description('refuse a host that is not to be trusted any more, whatever runs there; for good')
    .argument('<host>', 'name or id')
    .option('--json', 'print { revoked }')
    .action(async (name: string, { json, ...options }) => {
      await withCenter(options, (client) => client.call('revokeHost', { params: { host: name } }));
      const text = `${name} is refused from now on. Switch the machine off: nothing else stops it.`;
      show(json, { revoked: name }, () => text);
    });
}

function row({ name, kind, state, pid, vmPids, memoryBytes, memoryFreeBytes }: HostView) {
  return [
    name,
    kind,
    state,
    pid,
    vmPids.length,
    mebibytes(memoryBytes),
    mebibytes(memoryFreeBytes),
  ];
}

const trunkText = ({ peer, roundTripMs }: HostView['trunks'][number]): string =>
  roundTripMs === null ? peer : `${peer} (${roundTripMs.toFixed(2)} ms)`;

function details(host: HostView): string {
  return fields([
    ['name', host.name],
    ['id', host.id],
    ['kind', host.kind],
    ['state', host.state],
    ['process', host.pid],
    ['VM processes', host.vmPids.join(' ') || 'none'],
    ['addresses', host.addresses.join(' ')],
    ['CPUs', host.cpus],
    ['memory', `${mebibytes(host.memoryBytes)}, ${mebibytes(host.memoryFreeBytes)} free`],
    ['trunks', host.trunks.map(trunkText).join(', ') || 'none'],
    ['datastores', host.datastores.map(({ name, path }) => `${name}=${path}`).join(' ') || 'none'],
    ['version', host.version],
  ]);
}
