/**
 * Debian's own programs at work: an image of Debian packages, and the scripts of bench/guests/debian
 * with a generated text for them.
 */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SeededRandom } from '../../src/base/random.ts';
import { builtImage } from '../../tests/images/built-image.ts';
import type { Guest } from './guest.ts';
import { linuxGuests } from './linux-guest.ts';

const folder = resolve(import.meta.dirname, '../guests/debian');

export const debianPrograms = ['sha256sum', 'gzip', 'shell', 'redis'] as const;
/** Boots, does nothing and powers off. */
export const bootOnly = 'nothing';

/** @returns what makes a guest of each program */
export async function programGuests(): Promise<(program: string) => Guest> {
  const files = new Map<string, Uint8Array>([['/bench/text', generatedText()]]);
  for (const name of ['init', bootOnly, ...debianPrograms]) {
    files.set(`/bench/${name}.sh`, await readFile(join(folder, `${name}.sh`)));
  }
  const guests = await linuxGuests(await builtImage(join(folder, 'bench.recipe')), files);
  return (program) => guests.guest(program, `/bench/init.sh program=${program}`);
}

const textBytes = 8 << 20;

/**
 * Words of a made-up language, always the same: common ones are short and come often, as in texts
 * of people, so that a compressor has what it is made for.
 */
function generatedText(): Uint8Array {
  const random = new SeededRandom(2009);
  const letters = 'eeeetttaaaoooiinnsshrrdlcumwfgypbvkj';
  const words = Array.from({ length: 4000 }, (_, rank) => {
    const length = random.between(1, 3) + Math.ceil(Math.log2(rank + 2) / 2);
    return Array.from({ length }, () => letters[random.below(letters.length)]).join('');
  });
  const parts: string[] = [];
  for (let bytes = 0; bytes < textBytes; ) {
    // The product of two is small more often than large.
    const word = words[Math.floor((random.below(4000) * random.below(4000)) / 4000)]!;
    const part = word + (random.chance(0.08) ? '.\n' : ' ');
    parts.push(part);
    bytes += part.length;
  }
  return Buffer.from(parts.join('')).subarray(0, textBytes);
}
