/** `umbra vm suspend|clone|resize`, `umbra vm snapshot create|list|revert|delete`. */
import { type Command, InvalidArgumentError } from 'commander';
import type { Client } from '../api/client.ts';
import type { SnapshotView } from '../api/state-endpoints.ts';
import { UmbraError } from '../base/errors.ts';
import { centerOptions, mebibytes, show, table, withCenter } from './session.ts';
import { parseMemory } from './values.ts';
import { registerExport } from './vm-export.ts';
import { registerRewind } from './vm-rewind.ts';
import { noWait, waitForTask, waitForVm } from './wait.ts';
import { wholeNumber } from './whole-number.ts';

export function registerVmState(vm: Command): void {
  noWait(centerOptions(vm.command('suspend')))
    .description("keep a VM's state on its host's disk, and let it stand still until it is started")
    .argument('<vm>')
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, wait, ...options }) => {
      const suspended = await withCenter(options, async (client) => {
        const body = { how: 'suspend' } as const;
        const asked = await client.call('stopVm', { params: { vm: name }, body });
        return wait ? waitForVm(client, name, ({ state }) => state === 'suspended') : asked;
      });
      show(json, suspended, () => `${name} is ${wait ? 'suspended' : 'being suspended'}.`);
    });
  registerSnapshot(vm);
  noWait(centerOptions(vm.command('clone')))
    .description('a new VM with copies of the disks of one that is powered off, or of a snapshot')
    .argument('<vm>')
    .argument('<name>', 'of the new VM')
    .option('--snapshot <name>', 'the disks as they were then')
    .option('--json', 'print JSON')
    .action(async (from: string, name: string, { json, wait, snapshot, ...options }) => {
      const made = await withCenter(options, async (client) => {
        const body = { name, ...(snapshot !== undefined && { snapshot }) };
        const task = await client.call('cloneVm', { params: { vm: from }, body });
        if (!wait) return task;
        await waitForTask(client, task);
        return client.call('showVm', { params: { vm: name } });
      });
      show(json, made, () => `${name} ${wait ? 'has been' : 'is being'} cloned from ${from}.`);
    });

  registerExport(vm);
  registerRewind(vm);

  centerOptions(vm.command('resize'))
    .description('change a VM that is powered off; disks only grow')
    .argument('<vm>')
    .option('--cpus <n>', 'virtual CPUs, 1 to 8', wholeNumber)
    .option('--memory <size>', 'memory, such as 512M')
    .option('--disk <number=size>', 'grow a disk, such as 0=20G; repeatable', addDisk, [])
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, cpus, memory, disk, ...options }) => {
      const body = {
        ...(cpus !== undefined && { cpus }),
        ...(memory !== undefined && { memoryBytes: parseMemory(memory, 2 ** 24, 3 * 2 ** 30) }),
        ...(disk.length > 0 && { disks: disk }),
      };
      const resized = await withCenter(options, (client) =>
        client.call('resizeVm', { params: { vm: name }, body }),
      );
      show(json, resized, () => `${name} has been resized; it is so when it is started.`);
    });
}

interface DiskSize {
  readonly disk: number;
  readonly bytes: number;
}

function addDisk(text: string, all: readonly DiskSize[]): readonly DiskSize[] {
  const [, disk, size] = /^(\d{1,2})=(.+)$/.exec(text) ?? [];
  if (disk === undefined || size === undefined) {
    throw new InvalidArgumentError('such as 0=20G: the number of the disk, and its new size.');
  }
  return [...all, { disk: Number(disk), bytes: parseMemory(size, 512, 2 ** 44) }];
}

function registerSnapshot(vm: Command): void {
  const snapshot = vm.command('snapshot').description('states of a VM to which it can go back');

  noWait(centerOptions(snapshot.command('create')))
    .description(
      'take a snapshot of a VM: one that runs goes on running, protected or not; of one that is off its disks',
    )
    .argument('<vm>')
    .argument('<name>', 'lower-case letters, digits and inner hyphens')
    .option('--json', 'print the snapshot as JSON')
    .action(async (name: string, own: string, { json, wait, ...options }) => {
      const taken = await withCenter(options, async (client) => {
        const asked = { params: { vm: name }, body: { name: own } };
        const task = await client.call('takeSnapshot', asked);
        if (!wait) return task;
        await waitForTask(client, task);
        return snapshotOf(client, name, own);
      });
      show(json, taken, () => `${own} ${wait ? 'has been' : 'is being'} taken on ${taken.host}.`);
    });

  centerOptions(snapshot.command('list'))
    .description('snapshots of a VM, and the host on which each is')
    .argument('<vm>')
    .option('--json', 'print JSON')
    .action(async (name: string, { json, ...options }) => {
      const all = await withCenter(options, (client) =>
        client.call('listSnapshots', { params: { vm: name } }),
      );
      show(json, all, () =>
        all.length === 0
          ? `No snapshots yet. Take one: umbra vm snapshot create ${name} NAME`
          : table(['NAME', 'TAKEN', 'STATE', 'HOST', 'SIZE'], all.map(row)),
      );
    });

  noWait(centerOptions(snapshot.command('revert')))
    .description(
      'go back to a snapshot: what the VM is now is given up, and it runs on from there, or is off if it was',
    )
    .argument('<vm>')
    .argument('<name>')
    .option('--yes', 'the present state of the VM, disks included, may be lost')
    .option('--start', 'power it on, also if it was off then')
    .option('--no-start', 'leave it suspended there')
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, own: string, { json, wait, yes, start, ...options }) => {
      if (yes !== true) throw consentMissing(name, own);
      await withCenter(options, async (client) => {
        const { state: was } = await snapshotOf(client, name, own);
        const isOn = start ?? was === 'poweredOn';
        const asked = { params: { vm: name, snapshot: own }, body: { start: isOn } };
        const task = await client.call('revertToSnapshot', asked);
        if (!wait) return show(json, task, () => `${name} goes back to ${own}.`);
        await waitForTask(client, task);
        const is = isOn ? 'poweredOn' : was === 'poweredOn' ? 'suspended' : 'poweredOff';
        const reverted = await waitForVm(client, name, ({ state }) => state === is);
        show(json, reverted, () => `${name} ${words[is]} ${own}, on ${reverted.host}.`);
      });
    });

  centerOptions(snapshot.command('delete'))
    .description('delete a snapshot')
    .argument('<vm>')
    .argument('<name>')
    .option('--json', 'print { deleted }')
    .action(async (name: string, own: string, { json, ...options }) => {
      await withCenter(options, (client) =>
        client.call('deleteSnapshot', { params: { vm: name, snapshot: own } }),
      );
      show(json, { deleted: own }, () => `Snapshot ${own} of ${name} has been deleted.`);
    });
}

const words = {
  poweredOn: 'runs on from',
  suspended: 'is suspended at',
  poweredOff: 'is powered off, as at',
} as const;

async function snapshotOf(client: Client, vm: string, name: string): Promise<SnapshotView> {
  const all = await client.call('listSnapshots', { params: { vm } });
  const found = all.find((snapshot) => snapshot.name === name || snapshot.id === name);
  if (found !== undefined) return found;
  throw new UmbraError(
    'snapshot-unknown',
    `${vm} has no snapshot "${name}"`,
    `See umbra vm snapshot list ${vm}.`,
  );
}

const row = ({ name, createdAt, state, host, hostConnected, bytes }: SnapshotView) => [
  ...[name, createdAt, state, hostConnected ? host : `${host} (not responding)`, mebibytes(bytes)],
];

function consentMissing(vm: string, snapshot: string): UmbraError {
  return new UmbraError(
    'consent-missing',
    `going back to ${snapshot} gives up what ${vm} is now, memory and disks`,
    `If that is meant: umbra vm snapshot revert ${vm} ${snapshot} --yes.`,
  );
}
