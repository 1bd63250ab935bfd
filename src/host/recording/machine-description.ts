/**
 * A recording as a folder: everything that the machine was powered on with, and its log.
 *
 *   machine.json          what the machine is, with a SHA-256 of each file
 *   kernel, initrd, bios  the very bytes that it booted
 *   log-000000 ...        segments (lockstep/recording.ts)
 *
 * So a recording replays on another host, another operating system and another processor. A folder
 * whose log is torn at its end replays up to the last whole batch.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { UmbraError } from '../../base/errors.ts';
import { machineVersion, type VirtConfiguration } from '../../board/virt.ts';
import { RecordingWriter, readSegment, type Segment } from '../../lockstep/recording.ts';
import type { LogSink } from './local-vm.ts';

const folderFormat = 1;

interface MachineFile {
  readonly format: number;
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

const segmentName = (number: number): string => `log-${String(number).padStart(6, '0')}`;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

// --- Writing

/** Begins a recording in a new or empty folder. */
export function createRecording(folder: string, configuration: VirtConfiguration): void {
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new UmbraError(
      'recording-exists',
      `${folder} is not empty.`,
      'Record into a new folder, or remove this one first.',
    );
  }
  const { kernel, initrd, bios } = configuration;
  const contents = { kernel, ...(initrd && { initrd }), ...(bios && { bios }) };
  const machine: MachineFile = {
    format: folderFormat,
    machineVersion,
    cpus: configuration.hartCount,
    memoryBytes: configuration.ramBytes,
    bootArguments: configuration.bootArguments,
    disks: configuration.disks,
    macs: configuration.macs.map(hex),
    console: configuration.console ?? 'uart',
    epochOffset: String(configuration.epochOffset),
    randomSeed: hex(configuration.randomSeed),
    files: Object.fromEntries(
      Object.entries(contents).map(([name, bytes]) => [name, sha256(bytes)]),
    ),
  };
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(folder, name), bytes);
    writeFileSync(join(folder, 'machine.json'), `${JSON.stringify(machine, null, 2)}\n`);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/**
 * The log of a recording. If it cannot be written any more (the disk is full), the recording ends
 * with its last whole batch, `failed` says why, and the machine goes on.
 */
export class RecordingLog implements LogSink {
  readonly #folder: string;
  readonly #writer: RecordingWriter;
  readonly #failed: (error: UmbraError) => void;
  #file: number | undefined;
  #over = false;

  constructor(folder: string, configuration: Uint8Array, failed: (error: UmbraError) => void) {
    this.#folder = folder;
    this.#writer = new RecordingWriter({ configuration, epoch: 0, generation: 0 });
    this.#failed = failed;
  }

  batch(firstPosition: number, entries: Uint8Array): void {
    if (this.#over) return;
    const { segment, begins, bytes } = this.#writer.batch(firstPosition, entries);
    try {
      if (begins) {
        if (this.#file !== undefined) closeSync(this.#file);
        this.#file = openSync(join(this.#folder, segmentName(segment)), 'wx');
      }
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file!, bytes, at);
    } catch (error) {
      this.close();
      this.#failed(unwritable(this.#folder, error));
    }
  }

  close(): void {
    this.#over = true;
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

function unwritable(folder: string, error: unknown): UmbraError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return new UmbraError(
    'recording-unwritable',
    `The recording in ${folder} cannot be written (${code}).`,
    code === 'ENOSPC' ? 'Free some space or record elsewhere.' : 'Record to another folder.',
    { cause: error },
  );
}

// --- Reading

export interface Recording {
  readonly configuration: VirtConfiguration;
  readonly segments: readonly Segment[];
  /** Bytes at the end that were no whole batch. */
  readonly cutBytes: number;
}

/** Reads and checks a whole recording. */
export function openRecording(folder: string): Recording {
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
  const configuration: VirtConfiguration = {
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
  return { configuration, ...readLog(folder) };
}

function readLog(folder: string): { segments: Segment[]; cutBytes: number } {
  const segments: Segment[] = [];
  let cutBytes = 0;
  const names = readdirSync(folder).filter((name) => /^log-\d{6}$/.test(name));
  for (const [index, name] of names.sort().entries()) {
    if (name !== segmentName(index)) throw damaged(folder, `${segmentName(index)} is missing`);
    const bytes = readPart(folder, name);
    const segment = readSegment(bytes);
    const last = index === names.length - 1;
    if (!last && (segment === undefined || segment.cutBytes > 0)) {
      throw damaged(folder, `${name} is damaged, and the log goes on behind it`);
    }
    cutBytes += segment?.cutBytes ?? bytes.length;
    if (segment !== undefined) segments.push(segment);
  }
  if (segments.length === 0) throw damaged(folder, 'it has no log');
  return { segments, cutBytes };
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
  if (machine.format !== folderFormat) throw damaged(folder, `its format is ${machine.format}`);
  if (machine.machineVersion !== machineVersion) {
    throw new UmbraError(
      'recording-machine-version',
      `The recording is of machine version ${machine.machineVersion}, not ${machineVersion}.`,
      'Replay it with a release of Umbra that knows this version.',
    );
  }
  return machine;
}

function readPart(folder: string, name: string): Uint8Array {
  try {
    return readFileSync(join(folder, name));
  } catch (error) {
    throw damaged(folder, `${name} cannot be read`, error);
  }
}

function damaged(folder: string, why: string, cause?: unknown): UmbraError {
  return new UmbraError(
    'recording-damaged',
    `The recording in ${folder} cannot be replayed: ${why}.`,
    'Copy it again from where it was made.',
    { cause },
  );
}
