/**
 * What a command fetches into a file: whole, durable and readable by its owner only, or not there.
 * It is written beside its place and renamed; an older file stays until then, also when the command
 * is interrupted.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UmbraError } from '../base/errors.ts';

export interface Written {
  readonly bytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

export interface WriteOptions {
  /** Before the file takes its place. @throws what is wrong with it */
  readonly check?: (written: Written) => void;
  readonly progress?: (bytes: number) => void;
}

/** @throws UmbraError `interrupted`, `file-not-writable`; what the source, or `check`, says */
export async function writeWhole(
  file: string,
  source: Readable,
  { check, progress }: WriteOptions = {},
): Promise<Written> {
  const aside = `${file}.${process.pid}`;
  const hash = createHash('sha256');
  let bytes = 0;
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, passed) {
      hash.update(chunk);
      bytes += chunk.length;
      progress?.(bytes);
      passed(null, chunk);
    },
  });
  const target = createWriteStream(aside, { flags: 'wx', mode: 0o600, flush: true });
  let failure: Error | undefined;
  target.once('error', (cause) => {
    // What the source has died of, the target dies of, too.
    if (source.errored === null && counted.errored === null) failure = notWritable(file, cause);
  });
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const signal of signals) process.once(signal, interrupt);
  try {
    await pipeline(source, counted, target, { signal: interrupted.signal });
    const written = { bytes, sha256: hash.digest('hex') };
    check?.(written);
    await rename(aside, file);
    return written;
  } catch (error) {
    await rm(aside, { force: true });
    throw interrupted.signal.aborted ? interruption(file) : (failure ?? error);
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function notWritable(file: string, cause: Error): UmbraError {
  const why = `${file} cannot be written: ${cause.message}`;
  const remedy = 'Name a file in a folder that is yours, on a disk with room.';
  return new UmbraError('file-not-writable', why, remedy, { cause });
}

const interruption = (file: string): UmbraError =>
  new UmbraError('interrupted', `interrupted: nothing has been written to ${file}`, 'Begin anew.');
