/**
 * Downloads kept by what they are: `cache/sha256/<hash>`, and `<hash>.part` while incomplete.
 *
 * A file under its final name has had that hash when it was written, and is hashed again before it
 * is used: a file damaged since is thrown away and fetched anew. A partial file is continued by the
 * next build, and dropped if the whole then has another hash. Builds of one home take turns
 * (lock.ts), so a partial file has one writer.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import type { Downloader } from './download.ts';

/** A file as a signed index describes it. */
export interface Wanted {
  readonly address: string;
  readonly bytes: number;
  readonly sha256: string;
  /** How messages call it. */
  readonly title: string;
}

export class Cache {
  readonly #folder: string;

  constructor(home: string) {
    this.#folder = join(home, 'cache', 'sha256');
  }

  /** The path of the file, fetched if need be. `onBytes` learns of every byte as it is there. */
  async fetch(
    wanted: Wanted,
    from: Downloader,
    onBytes: (count: number) => void = () => {},
  ): Promise<string> {
    await mkdir(this.#folder, { recursive: true });
    const path = join(this.#folder, wanted.sha256);
    if (await hasHash(path, wanted)) {
      onBytes(wanted.bytes);
      return path;
    }
    const part = `${path}.part`;
    const file = await open(part, 'a');
    try {
      await complete(file, wanted, from, onBytes);
    } finally {
      await file.close();
    }
    if (!(await hasHash(part, wanted))) {
      await rm(part, { force: true });
      throw new UmbraError(
        'image-hash-bad',
        `${wanted.title} from ${wanted.address} is not what the signed index describes`,
        'The mirror may be in the middle of an update: try again later, or with --mirror URL.',
      );
    }
    await rename(part, path);
    return path;
  }
}

async function complete(
  file: FileHandle,
  wanted: Wanted,
  from: Downloader,
  onBytes: (count: number) => void,
): Promise<void> {
  let have = (await file.stat()).size;
  if (have >= wanted.bytes) {
    await file.truncate(0);
    have = 0;
  }
  const download = await from.open(wanted.address, have);
  if (download === undefined) {
    throw new UmbraError(
      'image-download-missing',
      `the mirror has no ${wanted.address}, although its index lists it`,
      'The mirror may be in the middle of an update: try again later, or with --mirror URL.',
    );
  }
  if (download.from !== have) await file.truncate(download.from);
  onBytes(download.from);
  let length = download.from;
  for await (const chunk of download.body) {
    length += chunk.length;
    // Never more than was promised: a server that sends for ever must not fill the disk.
    if (length > wanted.bytes) break;
    await file.appendFile(chunk);
    onBytes(chunk.length);
  }
}

async function hasHash(path: string, wanted: Wanted): Promise<boolean> {
  const size = await stat(path).then(
    (found) => found.size,
    () => -1,
  );
  if (size !== wanted.bytes) return false;
  return (await sha256File(path)) === wanted.sha256;
}

export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}
