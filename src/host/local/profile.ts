/**
 * Where the time of one VM goes: its guest by place in the program, the engine by what it does
 * instead of executing, the host for everything between two runs.
 *
 * From: `ProfiledMachine`, which says when runs begin and end and where the guest is; the engine's
 * observer; the host's clocks. To: a profile-file.ts, and a list for people.
 *
 * Guest time gathers until the next sample and all goes to the place where the guest is then. Since
 * samples are taken at counts, no kind of instruction draws them; a place's share is right on
 * average, not to the microsecond. What the engine and the host take is measured as it is.
 *
 * Invariant: all time from the first run on is counted once, as a sample's weight or as idle time.
 */
import type { EngineObserver } from '../../engine/regions/translator.ts';
import type { Micros } from '../../lockstep/ports.ts';
import type { Position } from '../../machine/riscv-machine.ts';
import type { SymbolTable } from './symbols.ts';

/** Frames from the outermost inwards, such as `supervisor`, `memcpy`. */
export type Path = readonly string[];

/** In microseconds, with fractions. */
export interface ProfileClocks {
  readonly now: () => Micros;
  /** For how long this process has waited for events. */
  readonly idle: () => Micros;
}

export const hostClocks: ProfileClocks = {
  now: () => performance.now() * 1000,
  idle: () => performance.eventLoopUtilization().idle * 1000,
};

/** Samples kept; when there are as many, fewer and longer ones take their place. */
const samplesMax = 1 << 18;

export class Profile implements EngineObserver {
  readonly #hartCount: number;
  readonly #symbols: SymbolTable;
  readonly #clocks: ProfileClocks;
  readonly #samplesMax: number;
  /** Up to here all time has been counted; undefined before the first run. */
  #countedTo: Micros | undefined;
  #idleBefore: Micros = 0;
  #idle: Micros = 0;
  /** Of the guest, and not yet a sample's. */
  #gathered: Micros = 0;
  #doing = '';
  readonly #paths: Path[] = [];
  /** By the paths' frames, joined. */
  readonly #indices = new Map<string, number>();
  readonly #totals: Micros[] = [];
  /** Indices of paths, in the order of time. */
  #samples: number[] = [];
  #weights: Micros[] = [];

  constructor(
    hartCount: number,
    symbols: SymbolTable,
    clocks: ProfileClocks = hostClocks,
    mostSamples = samplesMax,
  ) {
    this.#hartCount = hartCount;
    this.#symbols = symbols;
    this.#clocks = clocks;
    this.#samplesMax = mostSamples;
  }

  // --- Recording

  runBegins(): void {
    const idle = this.#clocks.idle();
    if (this.#countedTo === undefined) this.#countedTo = this.#clocks.now();
    else {
      const waited = idle - this.#idleBefore;
      this.#idle += waited;
      this.#add(['host'], Math.max(0, this.#passed() - waited));
    }
    this.#idleBefore = idle;
  }

  runEnds(): void {
    this.#gathered += this.#passed();
  }

  begin(what: 'translate' | 'compile'): void {
    this.#gathered += this.#passed();
    this.#doing = what;
  }

  end(): void {
    this.#add(['engine', this.#doing], this.#passed());
  }

  /** Within a run. @returns what the guest has had since the last sample */
  sample(position: Position): Micros {
    const weight = this.#gathered + this.#passed();
    this.#gathered = 0;
    this.#add(this.#pathOf(position), weight);
    return weight;
  }

  #passed(): Micros {
    const now = this.#clocks.now();
    const passed = now - this.#countedTo!;
    this.#countedTo = now;
    return passed;
  }

  #pathOf({ hart, pc, privilege, satp }: Position): Path {
    const name = this.#symbols.nameAt(pc) ?? `0x${(pc & ~0xfffn).toString(16)}`;
    const path =
      privilege === 0 ? ['user', ...addressSpace(satp), name] : [modes[privilege]!, name];
    return this.#hartCount > 1 ? [`hart ${hart}`, ...path] : path;
  }

  #add(path: Path, weight: Micros): void {
    const key = path.join('\n');
    let index = this.#indices.get(key);
    if (index === undefined) {
      index = this.#paths.push(path) - 1;
      this.#indices.set(key, index);
      this.#totals.push(0);
    }
    this.#totals[index]! += weight;
    if (this.#samples.at(-1) === index) {
      this.#weights[this.#weights.length - 1]! += weight;
      return;
    }
    if (this.#samples.length >= this.#samplesMax) this.#thin();
    this.#samples.push(index);
    this.#weights.push(weight);
  }

  /**
   * Neighbours become one as long as it stays short; which of them it shows is drawn by their
   * weights. Any two that are left are longer together than that, so at most half are left.
   */
  #thin(): void {
    const [samples, weights] = [this.#samples, this.#weights];
    const longest = (4 * weights.reduce((sum, weight) => sum + weight, 0)) / this.#samplesMax;
    this.#samples = [];
    this.#weights = [];
    for (const [place, weight] of weights.entries()) {
      const last = this.#weights.length - 1;
      const joined = last < 0 ? Number.POSITIVE_INFINITY : this.#weights[last]! + weight;
      if (joined > longest) {
        this.#samples.push(samples[place]!);
        this.#weights.push(weight);
        continue;
      }
      this.#weights[last] = joined;
      if (Math.random() * joined < weight) this.#samples[last] = samples[place]!;
    }
  }

  // --- What was seen

  get paths(): readonly Path[] {
    return this.#paths;
  }

  /** Indices of paths in the order of time, and how long each took. */
  get samples(): readonly number[] {
    return this.#samples;
  }
  get weights(): readonly Micros[] {
    return this.#weights;
  }

  /** Shares by the outermost frame, idle time beside them, and the places that took most. */
  inWords(places = 10): string {
    const total = this.#totals.reduce((sum, micros) => sum + micros, 0);
    const share = (micros: Micros): string => `${((100 * micros) / total).toFixed(1)} %`;
    const seconds = (micros: Micros): string => `${(micros / 1e6).toFixed(2)} s`;
    const outermost = this.#ranking((path) => path[0]!);
    const shares = outermost.map(([name, micros]) => `${name} ${share(micros)}`).join(', ');
    const lines = this.#ranking((path) => path.join(' > ')).slice(0, places);
    return [
      `${seconds(total)}: ${shares}; ${seconds(this.#idle)} idle`,
      ...lines.map(([name, micros]) => `${share(micros).padStart(8)}  ${name}`),
    ].join('\n');
  }

  /** All harts together. */
  #ranking(nameOf: (path: Path) => string): [name: string, micros: Micros][] {
    const sums = new Map<string, Micros>();
    for (const [index, path] of this.#paths.entries()) {
      const name = nameOf(path[0]!.startsWith('hart ') ? path.slice(1) : path);
      sums.set(name, (sums.get(name) ?? 0) + this.#totals[index]!);
    }
    return [...sums].sort(([, a], [, b]) => b - a);
  }
}

const modes: Readonly<Record<number, string>> = { 1: 'supervisor', 3: 'machine' };

/** By satp (privileged manual, section 12.1.11): the page of the root table, and its number if any. */
function addressSpace(satp: bigint): string[] {
  if (satp >> 60n === 0n) return [];
  const asid = (satp >> 44n) & 0xffffn;
  const root = (satp & ((1n << 44n) - 1n)).toString(16);
  return [asid === 0n ? `space ${root}` : `space ${root} (ASID ${asid})`];
}
