/**
 * The names that a busybox binary answers to, read from the binary itself: Debian's package brings
 * no links, and the program cannot be asked on a machine of another architecture.
 *
 * Busybox keeps them sorted, each ended by a zero byte, and `[` comes first (applet_tables.c).
 */
import type { Tree } from './tree.ts';

const busyboxPath = '/usr/bin/busybox';
const first = Buffer.from('[\0[[\0', 'latin1');

export function appletNames(busybox: Uint8Array): string[] {
  const bytes = Buffer.from(busybox.buffer, busybox.byteOffset, busybox.length);
  const names: string[] = [];
  for (let at = bytes.indexOf(first); at >= 0; ) {
    const end = bytes.indexOf(0, at);
    const name = bytes.toString('latin1', at, end);
    const previous = names.at(-1) ?? '';
    if (!/^[a-z0-9[_.-]+$/.test(name) || name <= previous) break;
    names.push(name);
    at = end + 1;
  }
  return names;
}

/** Links for all applets, except where a package brings a program of that name. */
export function linkApplets(root: Tree): void {
  const busybox = root.get(busyboxPath);
  if (busybox?.kind !== 'file') return;
  for (const name of appletNames(busybox.bytes)) {
    const places = [`/usr/bin/${name}`, `/usr/sbin/${name}`];
    if (places.every((path) => root.get(path) === undefined)) root.link(places[0]!, 'busybox');
  }
}
