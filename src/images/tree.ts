/**
 * The files of a guest's root before they become an initramfs: a map from absolute path to node.
 *
 * Paths have no trailing slash, no `.` and no `..`. /bin, /sbin and /lib are links into /usr, as on
 * every Debian since its merge; whatever a package puts below them lands below /usr. Nothing of the
 * building machine gets in: no clock, no owner but what the package says, no order but the path's.
 */
import { posix } from 'node:path';

export type Node =
  | { readonly kind: 'folder'; readonly mode: number; readonly uid: number; readonly gid: number }
  | {
      readonly kind: 'file';
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'link'; readonly target: string }
  | {
      readonly kind: 'device';
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const mergedFolders = /^\/(bin|sbin|lib)(?=\/)/;

export class Tree {
  readonly #nodes = new Map<string, Node>();

  constructor() {
    for (const name of ['bin', 'sbin', 'lib']) this.link(`/${name}`, `usr/${name}`);
    for (const name of ['bin', 'sbin', 'lib']) this.folder(`/usr/${name}`);
  }

  get(path: string): Node | undefined {
    return this.#nodes.get(place(path));
  }

  folder(path: string, mode = 0o755, uid = 0, gid = 0): void {
    path = place(path);
    // A link that leads to a folder serves as one, such as /bin itself.
    if (path !== '/' && this.#nodes.get(path)?.kind !== 'link') {
      this.#put(path, { kind: 'folder', mode, uid, gid });
    }
  }

  file(path: string, bytes: Uint8Array | string, mode = 0o644, uid = 0, gid = 0): void {
    const data = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes;
    this.#put(place(path), { kind: 'file', mode, uid, gid, bytes: data });
  }

  link(path: string, target: string): void {
    path = place(path);
    if (this.#nodes.get(path)?.kind !== 'folder') this.#put(path, { kind: 'link', target });
  }

  device(path: string, major: number, minor: number, mode = 0o600): void {
    this.#put(place(path), { kind: 'device', mode, major, minor });
  }

  remove(path: string): void {
    this.#nodes.delete(place(path));
  }

  /** The path and what it leads to: each link on the way, and the node at the end. */
  chain(path: string): string[] {
    const steps: string[] = [];
    for (let at = place(path); steps.length < 20; ) {
      const node = this.#nodes.get(at);
      if (node === undefined) break;
      steps.push(at);
      if (node.kind !== 'link') return steps;
      at = place(posix.resolve(posix.dirname(at), node.target));
    }
    return [];
  }

  /** The path behind all links, or undefined where nothing is. */
  resolve(path: string): string | undefined {
    return this.chain(path).at(-1);
  }

  /** In the order of the paths: a folder before what is in it. */
  entries(): [string, Node][] {
    return [...this.#nodes].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Keeps what `keep` says, and the folders above it. */
  filter(keep: (path: string, node: Node) => boolean): void {
    const kept = new Set<string>();
    for (const [path, node] of this.#nodes) {
      if (!keep(path, node)) continue;
      for (let at = path; at !== '/' && !kept.has(at); at = posix.dirname(at)) kept.add(at);
    }
    for (const path of this.#nodes.keys()) if (!kept.has(path)) this.#nodes.delete(path);
  }

  #put(path: string, node: Node): void {
    const parent = posix.dirname(path);
    if (parent !== '/' && !this.#nodes.has(parent)) this.folder(parent);
    this.#nodes.set(path, node);
  }
}

/** Where a path of a package belongs. A `..` beyond the root ends at the root. */
function place(path: string): string {
  const absolute = posix.resolve('/', path);
  return absolute.replace(mergedFolders, '/usr/$1');
}
