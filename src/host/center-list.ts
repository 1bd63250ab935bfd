/**
 * Where the centers of the cluster are: the one that was named at the start, and those that a center
 * has told of, kept in the daemon's folder: whichever of them is alive when the daemon starts again.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivateFile } from '../api/credentials.ts';
import { centerUrl } from '../api/wire.ts';

const urlsMax = 16;

export class CenterList {
  readonly #file: string;
  readonly #first: string;
  #told: readonly string[];

  constructor(directory: string, first: string) {
    this.#file = join(directory, 'centers.json');
    this.#first = first;
    this.#told = existsSync(this.#file) ? read(this.#file) : [];
  }

  get urls(): readonly string[] {
    return [...new Set([this.#first, ...this.#told])];
  }

  learn(urls: readonly string[]): void {
    const told = urls.map(centerUrl).slice(0, urlsMax);
    if (JSON.stringify(told) === JSON.stringify(this.#told)) return;
    this.#told = told;
    writePrivateFile(this.#file, `${JSON.stringify(told)}\n`);
  }
}

/** A file that cannot be read is learnt anew. */
function read(file: string): readonly string[] {
  try {
    const urls: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(urls) ? urls.map((url) => centerUrl(String(url))) : [];
  } catch {
    return [];
  }
}
