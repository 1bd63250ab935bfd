/**
 * A backup of a center: one tar with the database, the certificate authority and a note. Whoever has
 * it can be the center, so it is for administrators and belongs into a safe place.
 *
 * A center that is put back from a backup may have forgotten decisions: it notices (the counter's
 * file is another one), begins a new epoch and asks the hosts what they know before anybody becomes
 * live (docs/decisions/center-store.md). Images are not in it; they can be built again, and hosts
 * keep those of their VMs.
 */
import {
  createReadStream,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, pack } from 'tar-stream';
import { UmbraError } from '../base/errors.ts';
import type { Store } from './store/store.ts';

const format = 1;
const note = 'backup.json';
const databaseFile = 'center.db';
const authorityFiles = ['ca.pem', 'ca-key.pem'] as const;
const bytesMax = 2 ** 32;

/** @param data the center's folder. The copy is taken now; it leaves as fast as it is read. */
export function backUp(store: Store, data: string, version: string): Readable {
  const aside = mkdtempSync(join(data, '.backup-'));
  const remove = (): void => rmSync(aside, { recursive: true, force: true });
  try {
    const copy = join(aside, databaseFile);
    store.backup(copy);
    const archive = pack();
    const entry = (name: string, bytes: Uint8Array): void => {
      archive.entry({ name, mode: 0o600 }, Buffer.from(bytes));
    };
    const taken = new Date().toISOString();
    entry(note, Buffer.from(`${JSON.stringify({ format, version, taken })}\n`));
    for (const name of authorityFiles) entry(name, readFileSync(join(data, name)));
    entry(databaseFile, readFileSync(copy));
    archive.finalize();
    return archive as unknown as Readable;
  } finally {
    remove();
  }
}

/** Unpacks a backup into a folder that is not there yet, whole or not at all. */
export async function restoreBackup(file: string, data: string): Promise<{ taken: string }> {
  const target = resolve(data);
  if (existsSync(target) && readdirSync(target).length > 0) {
    throw new UmbraError(
      'directory-not-empty',
      `the folder ${data} is not empty`,
      'Give a new folder; a center that runs there must not be overwritten.',
    );
  }
  const aside = join(dirname(target), `.${basename(target)}.${process.pid}`);
  await mkdir(aside, { recursive: true, mode: 0o700 });
  try {
    const names = await unpack(file, aside);
    const missing = [note, databaseFile, ...authorityFiles].filter((name) => !names.has(name));
    if (missing.length > 0) throw damaged(file, `it lacks ${missing.join(', ')}`);
    const said = JSON.parse(readFileSync(join(aside, note), 'utf8')) as Record<string, unknown>;
    if (said['format'] !== format) throw damaged(file, 'it is of another version');
    await rm(join(aside, note));
    await rm(target, { recursive: true, force: true });
    await rename(aside, target);
    return { taken: String(said['taken']) };
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

async function unpack(file: string, folder: string): Promise<Set<string>> {
  const known = new Set<string>([note, databaseFile, ...authorityFiles]);
  const names = new Set<string>();
  const archive = extract();
  try {
    const reading = pipeline(createReadStream(file), archive);
    // Said by the loop, too.
    reading.catch(() => {});
    for await (const entry of archive) {
      const { name, size = 0 } = entry.header;
      // Names from a fixed list: nothing leads out of the folder.
      if (!known.has(name) || size > bytesMax) throw new Error(`it has a file "${name}"`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk as Buffer);
      await writeFile(join(folder, name), Buffer.concat(chunks), { mode: 0o600, flush: true });
      names.add(name);
    }
    await reading;
    return names;
  } catch (cause) {
    throw damaged(file, (cause as Error).message);
  }
}

function damaged(file: string, why: string): UmbraError {
  return new UmbraError(
    'backup-damaged',
    `${file} is not a backup of a center: ${why}`,
    'Give a file that umbra center backup has written.',
  );
}
