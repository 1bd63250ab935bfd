/** `umbra run`: one VM in this terminal. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import type { PublishedPort } from '../api/agent.ts';
import { umbraHome } from '../api/credentials.ts';
import { UmbraError } from '../base/errors.ts';
import { ramBytesMax, ramBytesMin, type VirtConfiguration } from '../board/virt.ts';
import { GdbServer } from '../host/debug/gdb-server.ts';
import { LiveTarget } from '../host/debug/live-target.ts';
import { LocalVm, type LocalVmResult } from '../host/local/local-vm.ts';
import { Profile } from '../host/local/profile.ts';
import { ProfileFile } from '../host/local/profile-file.ts';
import { loadSymbols } from '../host/local/symbols.ts';
import { openTerminal } from '../host/local/terminal.ts';
import { createLocalNetwork } from '../host/local-network.ts';
import { packageVersion } from '../host/package-version.ts';
import { createRecording } from '../host/recording/machine-description.ts';
import { RecordingFolder, type RecordingStatus } from '../host/recording/recording-writer.ts';
import { type Tier, tiers } from '../host/tiers.ts';
import type { DiskFile } from '../host/vm/file-disk.ts';
import { loadImage } from '../images/image.ts';
import type { Machine } from '../machine/machine.ts';
import { readMac } from '../network/wire.ts';
import { parseMemory, parsePort, parsePublish } from './values.ts';

interface RunOptions {
  readonly image?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly disk: readonly string[];
  readonly bios: string;
  readonly cpus: string;
  readonly memory?: string;
  readonly publish: readonly PublishedPort[];
  readonly console: 'uart' | 'virtio';
  readonly record?: string;
  readonly recordLimit?: string;
  readonly gdb?: string;
  readonly snapshotEvery: string;
  readonly profile?: string;
  readonly symbols: readonly string[];
  readonly tier: Tier;
  readonly maxInstructions?: string;
  readonly json?: boolean;
}

/** The one guest of this network, as QEMU would name it. */
const guestMac = Uint8Array.of(0x52, 0x54, 0x00, 0x12, 0x34, 0x56);

const collect = (value: string, all: readonly string[]): string[] => [...all, value];

export function registerRun(program: Command): void {
  program
    .command('run')
    .description('run one VM in this terminal (Ctrl-A x leaves)')
    .option('--image <name>', 'an image that is built (umbra image list)')
    .option('--kernel <file>', 'a kernel: Linux Image, RISC-V ELF or flat binary')
    .option('--initrd <file>', 'an initial RAM disk for it')
    .option('--append <text>', 'the kernel command line')
    .option('--disk <file>', 'a raw disk image, written to; repeatable', collect, [])
    .option('--bios <builtin|file>', 'firmware, such as OpenSBI', 'builtin')
    .option('--cpus <n>', 'virtual CPUs, 1 to 8', '1')
    .option('--memory <size>', 'memory, such as 512M or 1G')
    .option(
      '--publish <host:guest>',
      'forward a port of this machine to the guest; repeatable',
      (value: string, all: readonly PublishedPort[]) => [...all, parsePublish(value)],
      [],
    )
    .addOption(
      new Option('--console <device>', "what this terminal is: the UART, or virtio's hvc0")
        .choices(['uart', 'virtio'])
        .default('uart'),
    )
    .option('--record <dir>', 'record the run, for umbra replay')
    .option('--record-limit <size>', 'what the recording may take; the oldest goes first')
    .option(
      '--snapshot-every <seconds>',
      'how long a replay may take to any point from the snapshot before it',
      '1',
    )
    .option('--gdb <port>', 'stop at the first instruction and wait for a debugger there')
    .option('--profile <file>', 'where the time goes, for https://speedscope.app')
    .option(
      '--symbols <file[@base]>',
      'names for a profile: an ELF file, moved up by a base in hexadecimal where it was not ' +
        'linked for its place; a System.map; a copy of /proc/kallsyms; repeatable',
      collect,
      [],
    )
    .addOption(
      new Option('--tier <tier>', 'how instructions are executed').choices(tiers).default('auto'),
    )
    .option('--max-instructions <n>', 'stop there')
    .option('--json', 'print { instructions, seconds, stop, fingerprint } at the end')
    .action((options: RunOptions) => run(options));
}

async function run(options: RunOptions): Promise<void> {
  const { configuration, disks } = await prepare(options);
  const limit = options.maxInstructions;
  if (limit !== undefined && !/^[1-9]\d*$/.test(limit)) {
    throw new UmbraError(
      'not-a-number',
      `--max-instructions takes a positive number, not "${limit}".`,
      'Write it without separators, such as 100000000.',
    );
  }
  const profiling = openProfile(options, configuration.hartCount);
  const network = await createLocalNetwork({
    mac: readMac(guestMac, 0),
    publish: options.publish,
  });
  const gdbPort = options.gdb === undefined ? undefined : parsePort(options.gdb);
  const folder = options.record;
  const recordOptions = recordingOptions(options);
  const release = await packageVersion();
  let recording: RecordingFolder | undefined;
  const log =
    folder === undefined
      ? undefined
      : (digest: Uint8Array, machine: Machine): RecordingFolder => {
          createRecording(folder, configuration, release);
          recording = new RecordingFolder({
            ...recordOptions,
            folder,
            configuration: digest,
            machine,
            failed: ({ message }) =>
              console.error(`umbra: ${message} The machine goes on, the recording has ended.`),
            note: (text) => console.error(`umbra: ${text}`),
          });
          return recording;
        };
  const out = options.json ? process.stderr : process.stdout;
  let gdb: GdbServer | undefined;
  try {
    const vm = await LocalVm.start({
      configuration,
      tier: options.tier,
      disks,
      network,
      console: (bytes) => out.write(bytes),
      log,
      maxInstructions: limit === undefined ? undefined : BigInt(limit),
      profile: profiling?.profile,
      halted: gdbPort !== undefined,
    });
    if (gdbPort !== undefined) gdb = await serveDebugger(vm, gdbPort, folder !== undefined);
    const result = await attended(vm, () =>
      recording === undefined ? 'not recorded' : recordingInWords(recording.status),
    );
    profiling?.finish();
    await recording?.close();
    if (recording && !options.json) {
      console.error(`\numbra: ${recordingInWords(recording.status)}, in ${folder}`);
    }
    if (options.json) console.log(JSON.stringify(document(result)));
    if (result.stop === 'failed') process.exitCode = 1;
  } finally {
    await gdb?.close();
    network.close();
    await recording?.close();
  }
}

async function serveDebugger(vm: LocalVm, port: number, recorded: boolean): Promise<GdbServer> {
  const target = new LiveTarget(vm, recorded);
  const note = (text: string): void => console.error(`umbra: ${text}`);
  const gdb = await GdbServer.listen({ target, port, note });
  note(`the VM waits for a debugger: target remote 127.0.0.1:${gdb.port}`);
  return gdb;
}

function recordingOptions({ recordLimit, snapshotEvery }: RunOptions) {
  const seconds = Number(snapshotEvery);
  if (!(seconds >= 0.05 && seconds <= 3600)) {
    throw new UmbraError(
      'not-a-number',
      `--snapshot-every takes seconds, 0.05 to 3600, not "${snapshotEvery}".`,
      'A second is what it is without the option.',
    );
  }
  const bytesMax =
    recordLimit === undefined ? undefined : parseMemory(recordLimit, 16 << 20, 2 ** 50);
  return { snapshotMicros: seconds * 1e6, bytesMax };
}

/** For people, while the VM runs and at its end. */
function recordingInWords(status: RecordingStatus): string {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const { bytesPerSecond, logBytes, snapshotBytes, snapshots, seconds } = status;
  return (
    `recorded ${seconds.toFixed(0)} s: log ${megabytes(logBytes)} MB, ${snapshots} snapshots of ` +
    `${megabytes(snapshotBytes)} MB, ${((bytesPerSecond * 8) / 1e6).toFixed(2)} Mbit/s`
  );
}

interface Profiling {
  readonly profile: Profile;
  finish(): void;
}

function openProfile(options: RunOptions, hartCount: number): Profiling | undefined {
  const { profile: path, symbols } = options;
  if (path === undefined) {
    if (symbols.length === 0) return undefined;
    throw new UmbraError(
      'symbols-without-profile',
      '--symbols gives names to a profile, and there is none.',
      'Add --profile FILE.',
    );
  }
  const profile = new Profile(hartCount, loadSymbols(symbols));
  const file = new ProfileFile(path);
  const name = options.image ?? basename(options.kernel!);
  return {
    profile,
    finish() {
      file.write(profile, name);
      console.error(`\numbra: the profile is in ${path}\n${profile.inWords()}`);
    },
  };
}

/** The VM's end; until then the terminal is the guest's. */
async function attended(vm: LocalVm, status: () => string): Promise<LocalVmResult> {
  const terminal = openTerminal(
    (bytes) => vm.type(bytes),
    () => vm.leave(),
    status,
  );
  const end = (): void => vm.leave();
  process.once('SIGTERM', end);
  process.once('SIGHUP', end);
  try {
    return await vm.ended;
  } finally {
    terminal.close();
    process.removeListener('SIGTERM', end);
    process.removeListener('SIGHUP', end);
  }
}

function document({ instructions, seconds, stop, fingerprint }: LocalVmResult) {
  const text = fingerprint.toString(16).padStart(16, '0');
  return { instructions: Number(instructions), seconds, stop, fingerprint: text };
}

async function prepare(
  options: RunOptions,
): Promise<{ configuration: VirtConfiguration; disks: DiskFile[] }> {
  const boot = await bootFiles(options);
  const disks = options.disk.map((path): DiskFile => ({ path, bytes: diskBytes(path) }));
  const configuration: VirtConfiguration = {
    hartCount: Number(options.cpus),
    ramBytes:
      options.memory === undefined
        ? boot.memory
        : parseMemory(options.memory, ramBytesMin, ramBytesMax),
    kernel: boot.kernel,
    ...(boot.initrd && { initrd: boot.initrd }),
    bootArguments: options.append ?? boot.append,
    ...(options.bios !== 'builtin' && { bios: readInput(options.bios, 'firmware') }),
    disks: disks.map(({ bytes }) => bytes),
    macs: [guestMac],
    console: options.console,
    epochOffset: BigInt(Date.now()) * 1_000_000n,
    randomSeed: randomBytes(32),
  };
  return { configuration, disks };
}

interface BootFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array | undefined;
  readonly append: string;
  readonly memory: number;
}

async function bootFiles({ image, kernel, initrd }: RunOptions): Promise<BootFiles> {
  if ((image === undefined) === (kernel === undefined)) {
    throw new UmbraError(
      'nothing-to-run',
      'umbra run needs either --image or --kernel.',
      'Try: umbra run --image tiny (after umbra image build tiny).',
    );
  }
  if (image !== undefined) {
    const loaded = await loadImage(umbraHome(), image);
    return {
      kernel: readInput(loaded.kernelPath, 'kernel'),
      initrd: readInput(loaded.initrdPath, 'initial RAM disk'),
      append: loaded.append,
      memory: loaded.memory,
    };
  }
  return {
    kernel: readInput(kernel!, 'kernel'),
    initrd: initrd === undefined ? undefined : readInput(initrd, 'initial RAM disk'),
    append: 'console=ttyS0',
    memory: 256 << 20,
  };
}

function readInput(path: string, what: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new UmbraError(
      'unreadable',
      `The ${what} ${path} cannot be read (${reason}).`,
      'Check the path and its permissions.',
      { cause: error },
    );
  }
}

function diskBytes(path: string): number {
  if (!existsSync(path)) {
    throw new UmbraError(
      'unreadable',
      `The disk ${path} does not exist.`,
      `Make one: truncate -s 1G ${path}`,
    );
  }
  const { size } = statSync(path);
  if (size === 0 || size % 512 !== 0) {
    throw new UmbraError(
      'disk-size',
      `The disk ${path} has ${size} bytes, which is no multiple of 512.`,
      'Give a raw disk image of whole sectors.',
    );
  }
  return size;
}
