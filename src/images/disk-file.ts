/**
 * A disk that somebody brings along, as the raw file that VMs have: raw as it is, qcow2 (QEMU,
 * docs/interop/qcow2.txt) converted by QEMU's own qemu-img. What else looks like a disk of another
 * program is refused: as raw bytes it would boot into nothing.
 *
 * Holes stay holes, and what is only zeros becomes one.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { sha256File } from './cache.ts';

export interface Copied {
  readonly bytes: number;
  readonly sha256: string;
}

export interface CopyOptions {
  /** 0 to 1. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The program; tests name one that is not there. */
  readonly qemuImg?: string | undefined;
}

const sectorBytes = 512;
const chunkBytes = 1 << 20;
const holeBytes = 1 << 16;
const zeros = Buffer.alloc(holeBytes);

/** What is at the beginning of disks of other programs. */
const foreign: readonly (readonly [name: string, at: number, bytes: Buffer])[] = [
  ['a VMware disk (VMDK)', 0, Buffer.from('KDMV')],
  ['a VMware disk description (VMDK)', 0, Buffer.from('# Disk DescriptorFile')],
  ['a VirtualBox disk (VDI)', 64, Buffer.from('7f10dabe', 'hex')],
  ['a Hyper-V disk (VHDX)', 0, Buffer.from('vhdxfile')],
  ['a Hyper-V disk (VHD)', 0, Buffer.from('conectix')],
  ['compressed with gzip', 0, Buffer.from('1f8b08', 'hex')],
  ['compressed with xz', 0, Buffer.from('fd377a585a00', 'hex')],
  ['compressed with zstd', 0, Buffer.from('28b52ffd', 'hex')],
];
const qcow2Magic = Buffer.from('514649fb', 'hex');
/** Bytes of the qcow2 header that are looked at. */
const headBytes = 104;

/** @param to is made anew */
export async function importDisk(
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<Copied> {
  const file = await openInput(from, 'disk');
  try {
    const head = Buffer.alloc(headBytes);
    await file.read(head, 0, headBytes, 0);
    if (head.subarray(0, 4).equals(qcow2Magic)) {
      refuseOtherFiles(from, head);
      return await convert(from, to, options);
    }
    const found = foreign.find(([, at, bytes]) => head.subarray(at).indexOf(bytes) === 0);
    if (found !== undefined) {
      throw new UmbraError(
        'disk-format-unknown',
        `the disk ${from} is ${found[0]}, which Umbra cannot read`,
        `Make it raw first, such as: qemu-img convert -O raw ${from} DISK.raw.`,
      );
    }
    const { size } = await file.stat();
    if (size === 0 || size % sectorBytes !== 0) {
      throw new UmbraError(
        'disk-size',
        `the disk ${from} has ${size} bytes, which is no multiple of ${sectorBytes}`,
        'Give a raw disk of whole sectors, or a qcow2.',
      );
    }
    return await copyFrom(file, to, options);
  } finally {
    await file.close();
  }
}

/** A file as it is. @param what it is, for messages */
export async function importFile(
  what: string,
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<Copied> {
  const file = await openInput(from, what);
  try {
    return await copyFrom(file, to, options);
  } finally {
    await file.close();
  }
}

async function openInput(path: string, what: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (cause) {
    throw unreadable(what, path, (cause as NodeJS.ErrnoException).code ?? String(cause), cause);
  }
  throw unreadable(what, path, 'it is no file');
}

/** In one pass: copied, hashed, without its holes. */
async function copyFrom(
  file: FileHandle,
  to: string,
  { onProgress = () => {}, signal }: CopyOptions,
): Promise<Copied> {
  const { size } = await file.stat();
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(chunkBytes);
  const made = await open(to, 'wx');
  try {
    let length = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, chunkBytes, length);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      for (let at = 0; at < bytesRead; at += holeBytes) {
        const part = buffer.subarray(at, Math.min(at + holeBytes, bytesRead));
        if (!part.equals(zeros.subarray(0, part.length))) {
          await made.write(part, 0, part.length, length + at);
        }
      }
      length += bytesRead;
      onProgress(Math.min(1, length / size));
    }
    await made.truncate(length);
    return { bytes: length, sha256: hash.digest('hex') };
  } finally {
    await made.close();
  }
}

/** What comes from elsewhere must not read other files of this machine into the image. */
function refuseOtherFiles(path: string, head: Buffer): void {
  const hasBacking = head.readBigUInt64BE(8) !== 0n;
  const isVersion3 = head.readUInt32BE(4) >= 3;
  const hasDataFile = isVersion3 && (head.readBigUInt64BE(72) & 4n) !== 0n;
  if (!hasBacking && !hasDataFile) return;
  throw new UmbraError(
    'disk-not-whole',
    `the disk ${path} refers to another file, its ${hasBacking ? 'backing' : 'data'} file`,
    `If you trust it, make it whole first: qemu-img convert -O qcow2 ${path} WHOLE.qcow2.`,
  );
}

/** `qemu-img check` ends so: no error, or only clusters that nobody uses. */
const sound = [0, 3];

async function convert(from: string, to: string, options: CopyOptions): Promise<Copied> {
  // Whole paths: nothing that begins with a dash or a protocol.
  const [source, target] = [resolve(from), resolve(to)];
  // A file that was cut off would be converted without a word, with zeros for what it lacks.
  const checked = await runQemuImg(['check', '-f', 'qcow2', source], from, options);
  if (!sound.includes(checked.code ?? -1)) throw notConverted(from, checked);
  const args = ['convert', '-p', '-f', 'qcow2', '-O', 'raw', source, target];
  const converted = await runQemuImg(args, from, options);
  if (converted.code !== 0) throw notConverted(from, converted);
  const made = await open(to, 'r');
  const { size } = await made.stat().finally(() => made.close());
  return { bytes: size, sha256: await sha256File(to) };
}

interface Ended {
  readonly code: number | null;
  /** The end of what it wrote to standard error. */
  readonly errors: string;
}

async function runQemuImg(
  args: readonly string[],
  disk: string,
  { onProgress = () => {}, signal, qemuImg = 'qemu-img' }: CopyOptions,
): Promise<Ended> {
  const child = spawn(qemuImg, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal !== undefined && { signal }),
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors = `${errors}${chunk}`.slice(-1000);
  });
  child.stdout.on('data', (chunk) => {
    const percent = /\(([\d.]+)\/100%\)\s*$/.exec(String(chunk))?.[1];
    if (percent !== undefined) onProgress(Number(percent) / 100);
  });
  try {
    const code = await new Promise<number | null>((done, failed) => {
      child.once('error', failed);
      child.once('close', done);
    });
    signal?.throwIfAborted();
    return { code, errors: errors.trim() };
  } catch (cause) {
    signal?.throwIfAborted();
    const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new UmbraError(
      'qemu-img-missing',
      `the disk ${disk} is a qcow2, and ${qemuImg}, which converts it, cannot be run here (${why})`,
      'Install it (Debian: apt install qemu-utils), or give a raw disk.',
      { cause },
    );
  }
}

function notConverted(disk: string, { code, errors }: Ended): UmbraError {
  const [first = ''] = errors.split('\n');
  const why = first === '' ? `qemu-img finds it damaged (${code})` : first;
  return new UmbraError(
    'disk-not-converted',
    `the disk ${disk} could not be converted: ${why}`,
    `Look at it: qemu-img check ${disk}.`,
  );
}

function unreadable(what: string, path: string, why: string, cause?: unknown): UmbraError {
  return new UmbraError(
    'unreadable',
    `the ${what} ${path} cannot be read (${why})`,
    'Check the path and its permissions.',
    { cause },
  );
}
