/**
 * A root reduced to what a recipe names: those paths, whatever they link to, and the shared
 * libraries that their programs need, as the programs themselves say (elf.ts).
 *
 * Libraries that a program opens by name at run time are not found this way: a recipe names them.
 * And the other way round: a root without what a recipe names.
 */
import { posix } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { isElf, neededBy } from './elf.ts';
import type { Tree } from './tree.ts';

const libraryFolders = ['/usr/lib/riscv64-linux-gnu', '/usr/lib'];

export function keepOnly(root: Tree, paths: readonly string[]): void {
  const kept = new Set<string>();
  for (const path of paths) {
    const below = pathsBelow(root, path);
    if (root.resolve(path) === undefined && below.length === 0) throw absent('Keep', path);
    for (const each of [path, ...below]) keepWithNeeds(root, each, kept);
  }
  root.filter((path, node) => kept.has(path) || (node.kind === 'link' && /^\/\w+$/.test(path)));
}

/** A link is left out, not what it leads to. */
export function leaveOut(root: Tree, paths: readonly string[]): void {
  for (const path of paths) {
    const below = pathsBelow(root, path);
    if (root.get(path) === undefined && below.length === 0) throw absent('Omit', path);
    for (const each of [path, ...below]) root.remove(each);
  }
}

function pathsBelow(root: Tree, path: string): string[] {
  const paths = root.entries().map(([each]) => each);
  return paths.filter((each) => each.startsWith(`${path.replace(/\/$/, '')}/`));
}

function keepWithNeeds(root: Tree, path: string, kept: Set<string>): void {
  for (const step of root.chain(path)) {
    if (kept.has(step)) return;
    kept.add(step);
    const node = root.get(step);
    if (node?.kind !== 'file' || !isElf(node.bytes)) continue;
    const { interpreter, libraries } = neededBy(node.bytes);
    if (interpreter !== undefined) keepWithNeeds(root, interpreter, kept);
    for (const library of libraries) keepWithNeeds(root, find(root, library, step), kept);
  }
}

function find(root: Tree, library: string, by: string): string {
  for (const folder of libraryFolders) {
    const path = posix.join(folder, library);
    if (root.resolve(path) !== undefined) return path;
  }
  throw new UmbraError(
    'image-library-missing',
    `${by} needs the library ${library}, which no package of the recipe contains`,
    'Add the package that contains it to the field Packages.',
  );
}

function absent(field: string, path: string): UmbraError {
  return new UmbraError(
    'image-path-unknown',
    `no package of the recipe contains ${path}`,
    `Correct the field ${field}, or add the package that contains it to the field Packages.`,
  );
}
