/**
 * A decimal number in one place of one file, overwritten in place and synced. It repeats the count
 * of the arbiter's decisions beside the database, and so betrays a database that was put back
 * (docs/decisions/center-store.md).
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';

export class DecisionCounter {
  readonly #descriptor: number;
  /** Another one for every file there ever was: a copy of the folder has another file. */
  readonly identity: string;
  value: number;

  constructor(file: string) {
    this.#descriptor = openSync(file, existsSync(file) ? 'r+' : 'w+', 0o600);
    const { dev, ino, birthtimeNs } = fstatSync(this.#descriptor, { bigint: true });
    this.identity = `${dev}:${ino}:${birthtimeNs}`;
    const bytes = Buffer.alloc(20);
    const read = readSync(this.#descriptor, bytes, 0, 20, 0);
    this.value = Number(bytes.toString('latin1', 0, read));
    // Unreadable is as good as foreign: the worst case is a new epoch that was not needed.
    if (!Number.isSafeInteger(this.value)) this.value = Number.MAX_SAFE_INTEGER;
  }

  write(value: number): void {
    if (value === this.value) return;
    writeSync(this.#descriptor, Buffer.from(String(value).padStart(20, '0')), 0, 20, 0);
    fdatasyncSync(this.#descriptor);
    this.value = value;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
