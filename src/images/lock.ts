/**
 * One builder at a time in a home: builds share the cache, and two of one image would collide.
 *
 * The lock is an exclusive transaction on an empty SQLite file, that is, a lock of the operating
 * system: it goes when its process goes, whatever ended it, and leaves nothing stale behind.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const SQLITE_BUSY = 5;
const pollMs = 100;

/** Runs `work` alone among all builders of this home; `onWait` is told once if others are first. */
export async function alone<T>(
  home: string,
  work: () => Promise<T>,
  options: { onWait?: () => void; signal?: AbortSignal } = {},
): Promise<T> {
  await mkdir(join(home, 'images'), { recursive: true });
  const lock = new DatabaseSync(join(home, 'images', '.lock'));
  try {
    if (!tryLock(lock)) {
      options.onWait?.();
      do {
        options.signal?.throwIfAborted();
        await sleep(pollMs);
      } while (!tryLock(lock));
    }
    return await work();
  } finally {
    lock.close();
  }
}

function tryLock(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false;
    throw error;
  }
}
