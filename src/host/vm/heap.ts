/**
 * Garbage of a VM process, collected at two moments that V8 does not know of. Its heap may grow to
 * several times what is alive before all of it is collected (host/engine.ts), so that a VM under load
 * is not kept waiting; buffers count as little of it, wherever they lie.
 *
 *   a checkpoint is on its way: the chunks that have gone, every few megabytes. Otherwise most of
 *       the guest's RAM piles up in them, in a malloc heap that never becomes small again.
 *   the VM has come to rest: everything, once. Otherwise what it has read to boot, or what its last
 *       load has left, stays for as long as it is idle.
 *
 * A collection stops the VM for about 1 ms in the first case and 10 to 30 in the second. A guest can
 * observe it only as time, which it is told in entries of the log as ever.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { readonly type: 'minor' | 'major' }) => void;

/** At rest: not more of one CPU than this since the last look. */
const restShare = 0.1;
/** Worth a stop: so much more than the last collection has left. */
const growthBytesMin = { minor: 4 * 2 ** 20, major: 12 * 2 ** 20 } as const;

export class Heap {
  readonly #collect: Collect;
  #looked = { at: performance.now(), cpu: process.cpuUsage() };
  readonly #leftBytes = { minor: 0, major: 0 };

  constructor() {
    setFlagsFromString('--expose-gc');
    this.#collect = runInNewContext('gc') as Collect;
  }

  /** Called between steps while a checkpoint is copied, on either side. */
  whileCopying(): void {
    this.#collectIfGrown('minor');
  }

  /** Called every few seconds, between steps. */
  lookForRest(): void {
    const { at, cpu } = this.#looked;
    const now = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    this.#looked = { at: now, cpu: process.cpuUsage() };
    const share = (user + system) / 1000 / (now - at);
    if (share <= restShare) this.#collectIfGrown('major');
  }

  #collectIfGrown(type: 'minor' | 'major'): void {
    if (heapBytes() < this.#leftBytes[type] + growthBytesMin[type]) return;
    this.#collect({ type });
    this.#leftBytes[type] = heapBytes();
  }
}

/** Buffers outside of V8's own pages included. */
function heapBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}
