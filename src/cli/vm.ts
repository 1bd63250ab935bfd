/** `umbra vm create|list|show|start|stop|reset|delete|console|migrate|events|measurements`; more in vm-state.ts. */
import { type Command, Option } from 'commander';
import type { PublishedPort } from '../api/agent.ts';
import type { VmView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { eventLine, readEvents } from './events.ts';
import { createFromOwn, diskOption } from './own-files.ts';
import { centerOptions, fields, ifVersion, mebibytes, show, table, withCenter } from './session.ts';
import { parseMemory, parsePublish } from './values.ts';
import { haWords, registerHa } from './vm-ha.ts';
import { registerMeasurements } from './vm-measurements.ts';
import { registerMigrate } from './vm-migrate.ts';
import { registerVmState } from './vm-state.ts';
import { noWait, waitForVm } from './wait.ts';
import { wholeNumber } from './whole-number.ts';

const memoryMin = 2 ** 24;
const memoryMax = 3 * 2 ** 30;

export function registerVm(program: Command): void {
  const vm = program.command('vm').description('virtual machines');
  registerCreate(vm);
  registerLooking(vm);
  registerPower(vm);
  registerVmState(vm);

  registerMeasurements(vm);
  registerMigrate(vm);
  registerHa(vm);

  ifVersion(centerOptions(vm.command('delete')))
    .description('delete a powered-off VM with its disks')
    .argument('<vm>')
    .option('--json', 'print { deleted }')
    .action(async (name: string, { json, ...options }) => {
      await withCenter(options, (client) =>
        client.call('deleteVm', { params: { vm: name } }, options),
      );
      show(json, { deleted: name }, () => `${name} has been deleted.`);
    });

  centerOptions(vm.command('console'))
    .description("attach to a VM's console (Ctrl-] leaves); without a terminal, input is piped")
    .argument('<vm>')
    .action(async (name: string, options) => {
      const { attachConsole } = await import('./console.ts');
      await withCenter(options, (client) => attachConsole(client, name));
    });
}

function registerCreate(vm: Command): void {
  centerOptions(vm.command('create'))
    .description(
      "create a VM from an image on the center's machine, or from your own kernel and disks there; it is powered off",
    )
    .argument('<name>', 'lower-case letters, digits and inner hyphens')
    .option('--image <name>', 'the image (umbra image list)')
    .option('--kernel <file>', "instead: a kernel of your own, on the center's machine")
    .option('--initrd <file>', 'an initial RAM disk for it')
    .addOption(diskOption())
    .option('--cpus <n>', 'virtual CPUs, 1 to 8', wholeNumber, 1)
    .option('--memory <size>', 'memory, such as 512M; by default what the image asks for')
    .option(
      '--publish <port:guest>',
      "publish a guest's port at the gateway, /udp behind it for UDP; repeatable",
      (value: string, all: readonly PublishedPort[]) => [...all, parsePublish(value)],
      [],
    )
    .option('--vlan <id>', 'the VLAN of its port, 1 to 4094; the gateway is in none', wholeNumber)
    .option('--append <text>', "kernel command line instead of the image's")
    .option('--host <name>', 'where to power it on, if there is room')
    .option(
      '--datastore <name>',
      'its disks on storage that several hosts reach, so that it is restarted if its host is lost',
    )
    .option('--ft', 'with fault tolerance')
    .option('--start', 'and power it on')
    .option('--idempotency-key <key>', 'tried again with the same key, it is created only once')
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, options) => {
      const { json, memory, cpus, publish, vlan, append, host, datastore, ft } = options;
      const { idempotencyKey } = options;
      refuseMixed(options);
      const created = await withCenter(options, async (client) => {
        const wish = {
          ...{ name, cpus, ports: publish },
          ...(memory !== undefined && { memoryBytes: parseMemory(memory, memoryMin, memoryMax) }),
          ...(vlan !== undefined && { vlan }),
          ...(append !== undefined && { append }),
          ...(host !== undefined && { host }),
          ...(datastore !== undefined && { datastore }),
          ...(ft && { ft }),
        };
        const create = (image: { readonly image: string; readonly imageDigest?: string }) =>
          client.call('createVm', { body: { ...wish, ...image } }, { idempotencyKey });
        const made =
          options.kernel === undefined
            ? await create({ image: options.image })
            : await createFromOwn(client, name, options, { quiet: json === true }, create);
        if (!options.start) return made;
        return client.call('startVm', { params: { vm: name }, body: {} });
      });
      show(json, created, () => `${name} has been created.`);
    });
}

/** An image or own files, and nothing that would be left unused. */
function refuseMixed(options: {
  image?: string;
  kernel?: string;
  initrd?: string;
  disk: string[];
}) {
  const { image, kernel, initrd, disk } = options;
  const isUnused = kernel === undefined && (initrd !== undefined || disk.length > 0);
  if ((image === undefined) !== (kernel === undefined) && !isUnused) return;
  throw new UmbraError(
    'image-or-kernel',
    'umbra vm create takes either --image, or --kernel with --initrd and --disk.',
    'Try: umbra vm create NAME --image tiny.',
  );
}

function registerLooking(vm: Command): void {
  centerOptions(vm.command('list'))
    .description('VMs, where they run and how they are protected')
    .option('--json', 'print JSON')
    .action(async ({ json, ...options }) => {
      const vms = await withCenter(options, (client) => client.call('listVms'));
      show(json, vms, () =>
        vms.length === 0
          ? 'No VMs yet. Create one: umbra vm create NAME --image tiny'
          : table(
              ['NAME', 'STATE', 'HOST', 'SHADOW', 'FT', 'CPUS', 'MEMORY', 'PORTS'],
              vms.map(row),
            ),
      );
    });

  centerOptions(vm.command('show'))
    .description('one VM')
    .argument('<vm>')
    .option('--json', 'print JSON')
    .action(async (name: string, { json, ...options }) => {
      const found = await withCenter(options, (client) =>
        client.call('showVm', { params: { vm: name } }),
      );
      show(json, found, () => details(found));
    });

  centerOptions(vm.command('events'))
    .description('what has happened to a VM, oldest first')
    .argument('<vm>')
    .option('--after <sequence>', 'only later ones', wholeNumber, 0)
    .option('--json', 'print JSON')
    .action(async (name: string, { after, json, ...options }) => {
      const events = await withCenter(options, (client) => readEvents(client, { vm: name, after }));
      show(json, events, () => events.map(eventLine).join('\n'));
    });
}

function registerPower(vm: Command): void {
  ifVersion(noWait(centerOptions(vm.command('start'))))
    .description('power a VM on, or let a suspended one go on, and wait until it runs')
    .argument('<vm>')
    .option('--accept-stale', 'on a disk that may lack acknowledged writes, if there is no other')
    .option('--discard-state', 'power on a suspended VM without what was saved, which is lost')
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, acceptStale, discardState, wait, ...options }) => {
      const started = await withCenter(options, async (client) => {
        const body = {
          ...(acceptStale && { acceptStale: true }),
          ...(discardState && { discardState: true }),
        };
        const asked = await client.call('startVm', { params: { vm: name }, body }, options);
        return wait ? waitForVm(client, name, isOn) : asked;
      });
      show(json, started, () => `${name} is ${wait ? 'powered on' : 'being powered on'}.`);
    });

  ifVersion(noWait(centerOptions(vm.command('stop'))))
    .description('power a VM off, and wait until it is')
    .argument('<vm>')
    .addOption(
      new Option('--how <how>', 'ask the guest, or not')
        .choices(['power-off', 'power-button', 'suspend'])
        .default('power-off'),
    )
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, how, wait, ...options }) => {
      const stopped = await withCenter(options, async (client) => {
        const asked = await client.call('stopVm', { params: { vm: name }, body: { how } }, options);
        return wait ? waitForVm(client, name, isOff) : asked;
      });
      show(json, stopped, () => `${name} is ${wait ? 'powered off' : 'being powered off'}.`);
    });

  ifVersion(centerOptions(vm.command('reset')))
    .description('reset a VM, as its reset button does')
    .argument('<vm>')
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, ...options }) => {
      const reset = await withCenter(options, (client) =>
        client.call('resetVm', { params: { vm: name } }, options),
      );
      show(json, reset, () => `${name} has been reset.`);
    });
}

const isOn = ({ state }: VmView): boolean => state === 'poweredOn';
const isOff = ({ state }: VmView): boolean => state === 'poweredOff' || state === 'suspended';

const port = ({ protocol, gatewayPort, guestPort }: PublishedPort): string =>
  `${gatewayPort}:${guestPort}${protocol === 'udp' ? '/udp' : ''}`;

function row({ name, state, host, ft, cpus, memoryBytes, ports }: VmView) {
  const { shadow } = ft;
  return [
    ...[name, state, host, shadow?.host, ft.state, cpus, mebibytes(memoryBytes)],
    ports.map(port).join(' ') || '-',
  ];
}

function details(vm: VmView): string {
  const { ft } = vm;
  return fields([
    ['name', vm.name],
    ['id', vm.id],
    ['version', vm.version],
    ['state', vm.obstacle === null ? vm.state : `${vm.state}, waiting: ${vm.obstacle}`],
    ['host', vm.host],
    ['image', `${vm.image} (${vm.imageDigest.slice(0, 12)})`],
    ['CPUs', vm.cpus],
    ['memory', mebibytes(vm.memoryBytes)],
    ['MAC', vm.mac],
    ['VLAN', vm.isolated ? 'none: apart from every network' : (vm.vlan ?? 'none')],
    ['datastore', vm.datastore ?? 'none: its hosts have replicas'],
    ['HA', haWords(vm)],
    ['ports', vm.ports.map(port).join(' ') || 'none'],
    ['fault tolerance', ft.reason === null ? ft.state : `${ft.state} (${ft.reason})`],
    ['shadow', ft.shadow?.host],
  ]);
}
