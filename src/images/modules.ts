/**
 * Kernel modules: which ones a recipe's few names need, in the order in which they must be loaded.
 *
 * Debian builds modules.dep when a kernel is installed, so a package has none; each module says
 * itself what it depends on (`depends=`, `softdep=pre:` in its .modinfo). Into the guest go
 * `/lib/modules/NAME.ko`, unpacked and slimmed (slim-module.ts), and for each name that the recipe asks for
 * `/lib/modules/NAME.order`, one module a line: all that /init needs to call insmod.
 */
import { posix } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { decompressAll } from './compression.ts';
import { words } from './deb822.ts';
import { moduleInfo } from './elf.ts';
import { slimModule } from './slim-module.ts';
import type { Tree } from './tree.ts';

export async function addModules(
  kernel: Tree,
  names: readonly string[],
  root: Tree,
): Promise<void> {
  const packed = new Map<string, string>();
  for (const [path, node] of kernel.entries()) {
    const file = /\/([^/]+)\.ko(?:\.xz|\.gz|\.zst)?$/.exec(path);
    if (file !== null && node.kind === 'file') packed.set(canonical(file[1]!), path);
  }
  const modules = new ModuleSet(kernel, packed);
  for (const name of names) {
    const order = await modules.order(canonical(name));
    root.file(`/lib/modules/${canonical(name)}.order`, order.map((each) => `${each}\n`).join(''));
    for (const each of order) root.file(`/lib/modules/${each}.ko`, await modules.contents(each));
  }
}

class ModuleSet {
  readonly #kernel: Tree;
  readonly #packed: ReadonlyMap<string, string>;
  readonly #contents = new Map<string, Uint8Array>();

  constructor(kernel: Tree, packed: ReadonlyMap<string, string>) {
    this.#kernel = kernel;
    this.#packed = packed;
  }

  async contents(name: string): Promise<Uint8Array> {
    const known = this.#contents.get(name);
    if (known !== undefined) return known;
    const path = this.#packed.get(name);
    const node = path === undefined ? undefined : this.#kernel.get(path);
    if (path === undefined || node?.kind !== 'file') throw unknownModule(name, this.#packed);
    const contents = slimModule(await decompressAll(node.bytes, posix.basename(path)));
    this.#contents.set(name, contents);
    return contents;
  }

  /** The module itself and all it needs, what is needed first. */
  async order(name: string, seen: string[] = []): Promise<string[]> {
    if (seen.includes(name)) return seen;
    for (const needed of await this.#needs(name)) await this.order(needed, seen);
    if (!seen.includes(name)) seen.push(name);
    return seen;
  }

  async #needs(name: string): Promise<string[]> {
    const needs: string[] = [];
    for (const [key, value] of moduleInfo(await this.contents(name))) {
      if (key === 'depends') needs.push(...value.split(',').filter((each) => each !== ''));
      if (key === 'softdep') needs.push(...this.#softNeeds(value));
    }
    return needs.map(canonical);
  }

  /**
   * `pre: crypto-crc32c post: other`. A soft need may be an algorithm, by its name or by that of its
   * alias; the portable module of an algorithm ends in `_generic`. What is no module is built in.
   */
  #softNeeds(value: string): string[] {
    const before = words(/pre:((?:\s+[^\s:]+(?!\S))*)/.exec(value)?.[1]).map(canonical);
    return before
      .map((each) => (this.#packed.has(each) ? each : `${each.replace(/^crypto_/, '')}_generic`))
      .filter((each) => this.#packed.has(each));
  }
}

/** The kernel takes `-` and `_` in module names for the same. */
function canonical(name: string): string {
  return name.replaceAll('-', '_');
}

function unknownModule(name: string, known: ReadonlyMap<string, string>): UmbraError {
  const alike = [...known.keys()].filter((each) => each.includes(name.slice(0, 6))).sort();
  return new UmbraError(
    'image-module-unknown',
    `the kernel has no module "${name}"`,
    alike.length > 0
      ? `Correct the field Modules; names alike are ${alike.slice(0, 8).join(', ')}.`
      : 'Correct the field Modules of the recipe; it may be built into the kernel.',
  );
}
