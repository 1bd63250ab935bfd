/**
 * What a recording's machine was powered on with: `machine.json`, and beside it the very bytes that
 * it booted (`kernel`, `initrd`, `bios`), each with its SHA-256.
 *
 * From: `umbra run --record`. To: whoever replays, on whatever host. What a release of Umbra cannot
 * replay it refuses with the reason: an unknown format, or a machine version that it does not know.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { copyFile, link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UmbraError } from '../../base/errors.ts';
import { machineVersion, type VirtConfiguration, type VirtShape } from '../../board/virt.ts';
import { recordingFormat } from '../../lockstep/recording-blocks.ts';

interface MachineFile {
  readonly format: number;
  /** The release that recorded it; for people. */
  readonly umbra: string;
  readonly machineVersion: number;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly bootArguments: string;
  readonly disks: readonly number[];
  readonly macs: readonly string[];
  readonly console: 'uart' | 'virtio';
  readonly epochOffset: string;
  readonly randomSeed: string;
  /** SHA-256 of each file beside this one. */
  readonly files: Readonly<Record<string, string>>;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/**
 * Begins a recording in a new or empty folder.
 * @param umbra the release that records
 */
export function createRecording(
  folder: string,
  configuration: VirtConfiguration,
  umbra: string,
): void {
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new UmbraError(
      'recording-exists',
      `${folder} is not empty.`,
      'Record into a new folder, or remove this one first.',
    );
  }
  const { kernel, initrd, bios } = configuration;
  const contents = { kernel, ...(initrd && { initrd }), ...(bios && { bios }) };
  const files = Object.fromEntries(
    Object.entries(contents).map(([name, bytes]) => [name, sha256(bytes)]),
  );
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(folder, name), bytes);
    writeFileSync(join(folder, 'machine.json'), machineText(configuration, umbra, files));
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/** A file that the machine booted, as it is on this host's disk. */
export interface BootFile {
  readonly path: string;
  /** In hexadecimal, and checked. */
  readonly sha256: string;
}

/**
 * The same beside a VM that runs: its thread neither reads nor hashes what it booted. Where the
 * file system can, nothing is copied.
 * @param files by their names in the recording: `kernel`, `initrd`
 */
export async function placeRecording(
  folder: string,
  configuration: VirtShape,
  umbra: string,
  files: Readonly<Record<string, BootFile>>,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const [name, { path }] of Object.entries(files)) {
      const place = join(folder, name);
      // Neither is ever written again: an image has one name for all that it ever was.
      await link(path, place).catch(() => copyFile(path, place));
    }
    const hashes = Object.entries(files).map(([name, { sha256: hash }]) => [name, hash]);
    const text = machineText(configuration, umbra, Object.fromEntries(hashes));
    await writeFile(join(folder, 'machine.json'), text, { mode: 0o600 });
  } catch (error) {
    throw unwritable(folder, error);
  }
}

function machineText(configuration: VirtShape, umbra: string, files: MachineFile['files']): string {
  const machine: MachineFile = {
    format: recordingFormat,
    umbra,
    machineVersion,
    cpus: configuration.hartCount,
    memoryBytes: configuration.ramBytes,
    bootArguments: configuration.bootArguments,
    disks: configuration.disks,
    macs: configuration.macs.map(hex),
    console: configuration.console ?? 'uart',
    epochOffset: String(configuration.epochOffset),
    randomSeed: hex(configuration.randomSeed),
    files,
  };
  return `${JSON.stringify(machine, null, 2)}\n`;
}

export function unwritable(folder: string, error: unknown): UmbraError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return new UmbraError(
    'recording-unwritable',
    `The recording in ${folder} cannot be written (${code}).`,
    code === 'ENOSPC' ? 'Free some space or record elsewhere.' : 'Record to another folder.',
    { cause: error },
  );
}

/** The machine that was recorded, every byte of it checked. */
export function readConfiguration(folder: string): VirtConfiguration {
  const machine = readMachine(folder);
  const file = (name: string): Uint8Array | undefined => {
    const expected = machine.files[name];
    if (expected === undefined) return undefined;
    const bytes = readPart(folder, name);
    if (sha256(bytes) !== expected) throw damaged(folder, `${name} has been altered`);
    return bytes;
  };
  const kernel = file('kernel');
  if (kernel === undefined) throw damaged(folder, 'it names no kernel');
  const initrd = file('initrd');
  const bios = file('bios');
  return {
    hartCount: machine.cpus,
    ramBytes: machine.memoryBytes,
    kernel,
    ...(initrd && { initrd }),
    ...(bios && { bios }),
    bootArguments: machine.bootArguments,
    disks: machine.disks,
    macs: machine.macs.map((mac) => Buffer.from(mac, 'hex')),
    console: machine.console,
    epochOffset: BigInt(machine.epochOffset),
    randomSeed: Buffer.from(machine.randomSeed, 'hex'),
  };
}

function readMachine(folder: string): MachineFile {
  let machine: MachineFile;
  try {
    machine = JSON.parse(readFileSync(join(folder, 'machine.json'), 'utf8')) as MachineFile;
  } catch (error) {
    throw new UmbraError(
      'recording-missing',
      `${folder} is no recording: its machine.json cannot be read.`,
      'Name a folder that umbra run --record has written.',
      { cause: error },
    );
  }
  if (machine.format !== recordingFormat) {
    throw new UmbraError(
      'recording-format',
      `The recording has format ${machine.format}; this release reads format ${recordingFormat}.`,
      `Replay it with the release that recorded it${machine.umbra ? ` (${machine.umbra})` : ''}.`,
    );
  }
  if (machine.machineVersion !== machineVersion) {
    throw new UmbraError(
      'recording-machine-version',
      `The recording is of machine version ${machine.machineVersion}, not ${machineVersion}.`,
      `Replay it with a release of Umbra that knows this version, such as ${machine.umbra}.`,
    );
  }
  return machine;
}

export function readPart(folder: string, name: string): Uint8Array {
  try {
    return readFileSync(join(folder, name));
  } catch (error) {
    throw damaged(folder, `${name} cannot be read`, error);
  }
}

export function damaged(folder: string, why: string, cause?: unknown): UmbraError {
  return new UmbraError(
    'recording-damaged',
    `The recording in ${folder} cannot be replayed: ${why}.`,
    'Copy it again from where it was made.',
    { cause },
  );
}
