/**
 * Where a debugger wants a machine to stop: in front of instructions, and behind accesses to data.
 *
 * From: whoever debugs, between runs. To: the engine, which asks here when it meets one. Traps are
 * no state of the machine: they are neither saved nor fingerprinted, and a guest cannot tell that
 * there are any. Addresses are virtual and mean every address space; data are watched where harts
 * load and store them, not where devices do.
 */
import type { Engine } from './engine.ts';
import { never } from './harts.ts';

export interface Watch {
  readonly address: bigint;
  readonly bytes: number;
  readonly on: 'read' | 'write' | 'access';
}

export interface Traps {
  readonly breakpoints: ReadonlySet<bigint>;
  readonly watches: readonly Watch[];
  /** Told of each trap in place of stopping there, with the count in front of its instruction. */
  readonly passing?: (trap: Trap, count: bigint) => void;
}

export const noTraps: Traps = { breakpoints: new Set(), watches: [] };

/** Why a run has ended: in front of the instruction at `pc`, or behind one that made an access. */
export type Trap =
  | { readonly kind: 'breakpoint'; readonly hart: number; readonly pc: bigint }
  | {
      readonly kind: 'watch';
      readonly hart: number;
      readonly watch: Watch;
      readonly address: bigint;
      readonly isStore: boolean;
    };

export class DebugTraps {
  readonly #engine: Engine;
  /** Sets what the run's fields say of what is watched. */
  readonly #watch: (pages: bigint, from: bigint, to: bigint) => void;
  #traps = noTraps;
  #passNext: bigint | undefined;
  #passedAt: bigint | undefined;
  #met: Trap | undefined;

  constructor(engine: Engine, watch: (pages: bigint, from: bigint, to: bigint) => void) {
    this.#engine = engine;
    this.#watch = watch;
  }

  /** What the last run met. */
  get met(): Trap | undefined {
    return this.#met;
  }

  set(traps: Traps): void {
    if (traps.watches !== this.#traps.watches) {
      let [from, to] = [never, 0n];
      for (const { address, bytes } of traps.watches) {
        const end = address + BigInt(bytes);
        if (address < from) from = address;
        if (end > to) to = end;
      }
      this.#watch(pageBits(traps.watches), from, to);
      this.#engine.flushTranslations();
    }
    this.#engine.setBreakpoints(traps.breakpoints);
    this.#traps = traps;
  }

  /** In the next run the instruction at this count is executed, whatever breakpoint it has. */
  passAt(count: bigint): void {
    this.#passNext = count;
    this.#met = undefined;
  }

  runBegins(): void {
    this.#met = undefined;
    this.#passedAt = this.#passNext;
    this.#passNext = undefined;
  }

  breakpointMet(count: bigint, hart: number, pc: bigint): boolean {
    if (count === this.#passedAt) return false;
    // An engine may ask twice, ahead of a walk and behind it.
    if (this.#traps.passing !== undefined) this.#passedAt = count;
    return this.#meet({ kind: 'breakpoint', hart, pc }, count);
  }

  /** @returns whether the run ends */
  #meet(trap: Trap, count: bigint): boolean {
    const { passing } = this.#traps;
    if (passing === undefined) this.#met = trap;
    else passing(trap, count);
    return passing === undefined;
  }

  dataAccessed(
    count: bigint,
    hart: number,
    address: bigint,
    bytes: number,
    isStore: boolean,
  ): boolean {
    const end = address + BigInt(bytes);
    const watch = this.#traps.watches.find(
      (each) =>
        each.on !== (isStore ? 'read' : 'write') &&
        address < each.address + BigInt(each.bytes) &&
        each.address < end,
    );
    if (watch === undefined) return false;
    // An atomic instruction loads and stores: what it stored is what people look for.
    return this.#meet({ kind: 'watch', hart, watch, address, isStore }, count);
  }
}

function pageBits(watches: readonly Watch[]): bigint {
  let bits = 0n;
  for (const { address, bytes } of watches) {
    const last = (address + BigInt(Math.max(bytes, 1)) - 1n) >> 12n;
    for (let page = address >> 12n; page <= last && page < (address >> 12n) + 64n; page++) {
      bits |= 1n << (page & 63n);
    }
  }
  return bits;
}
