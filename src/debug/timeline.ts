/**
 * A recording as something to move about in, forwards and backwards, to the instruction.
 *
 * From: a recorded run (its log, and machines restored from its snapshots). To: the debugger and
 * `umbra replay`. There is always one machine, at a count of the recording. Going forward executes;
 * going back takes the nearest *point* before the goal and executes from there. Points are marks of
 * this very machine (`RiscvMachine.keepPoint`), made while it runs: each costs what the guest has
 * changed since, and going back to one keeps all that was translated. Where no point reaches, the
 * nearest snapshot of the recording gives another machine.
 *
 * Invariant: the state at a count is the same however it was reached; traps only choose where to
 * stop. It is the state behind every input of that count, in front of the next instruction.
 */
import { UmbraError } from '../base/errors.ts';
import { type Log, RecordingReplay, type ReplayEnd } from '../lockstep/recording-replay.ts';
import type { Divergence } from '../lockstep/status.ts';
import { noTraps, type Trap, type Traps } from '../machine/debug-traps.ts';
import type { Output, Ticks } from '../machine/effects.ts';
import type { Point, RiscvMachine } from '../machine/riscv-machine.ts';

/** A machine of a recording, and the entry that it needs next. */
export interface Beginning {
  readonly machine: RiscvMachine;
  readonly position: number;
}

export interface RecordedRun extends Log {
  readonly firstCount: bigint;
  readonly end: { readonly position: number; readonly count: bigint };
  /**
   * The nearest machine at or before this count.
   * @param machine one that is not needed any more, which may become that one
   */
  machineBefore(count: bigint, machine?: RiscvMachine): Beginning;
  /** The count of that machine, without making it. */
  countBefore(count: bigint): bigint;
  /** An entry at or before which the guest's clock read at most `time`. */
  positionBefore(time: Ticks): number;
}

export type Landing =
  | { readonly kind: 'until' | 'end' | 'interrupted' }
  | { readonly kind: 'trap'; readonly trap: Trap }
  | { readonly kind: 'diverged'; readonly divergence: Divergence };

interface Mark {
  readonly count: bigint;
  readonly position: number;
  readonly point: Point;
}

export interface TimelineOptions {
  /** Now, in microseconds; only decides where points are made. */
  readonly now: () => number;
  /** Execution between two points. */
  readonly pointMicros?: number;
  /** What points may keep of RAM. */
  readonly historyBytesMax?: number;
  /** Between two pieces of work; true: the work is given up. */
  readonly pause?: () => Promise<boolean>;
  /** What the guest emits on the way, forwards, the first time and every time. */
  readonly output?: (output: Output) => void;
}

const pointMicrosDefault = 20_000;
const historyBytesMaxDefault = 512 * 1024 * 1024;
/** Executed between two looks at the clock and at whoever wants to interrupt. */
const pieceCounts = 2_000_000n;
const pausesEvery = 20_000;
const shortlyBefore = 100_000n;
/** How far to look back for a trap at first, and at most in one go. */
const [nearCounts, farCounts] = [100_000n, 1_000_000_000n];

export class Timeline {
  readonly #run: RecordedRun;
  readonly #options: TimelineOptions;
  #machine: RiscvMachine;
  #replay: RecordingReplay;
  /** Oldest first; all of the present machine and none later than it. */
  #marks: Mark[] = [];
  #markedAt = 0;
  #pausedAt = 0;
  #traps = noTraps;

  constructor(run: RecordedRun, options: TimelineOptions) {
    this.#run = run;
    this.#options = options;
    const { machine, position } = run.machineBefore(run.firstCount);
    this.#machine = machine;
    this.#replay = new RecordingReplay(run, machine, position);
    this.#mark();
  }

  get machine(): RiscvMachine {
    return this.#machine;
  }

  get count(): bigint {
    return this.#machine.count;
  }

  get firstCount(): bigint {
    return this.#run.firstCount;
  }

  get lastCount(): bigint {
    return this.#run.end.count;
  }

  /** The entry of the log that comes next. */
  get nextPosition(): number {
    return this.#replay.nextPosition;
  }

  // --- Forward

  /** Runs to a count, or to the first trap behind the present one. */
  async run(until: bigint, traps: Traps = noTraps): Promise<Landing> {
    this.#machine.passBreakpoint();
    return this.#runOn(until, traps);
  }

  /** The same, where a breakpoint on the next instruction counts. */
  async #runOn(until: bigint, traps: Traps): Promise<Landing> {
    this.#setTraps(traps);
    for (;;) {
      const piece = this.count + pieceCounts;
      const end = this.#replay.step(piece < until ? piece : until, 200);
      this.#emit();
      if (end?.kind === 'diverged') return end;
      if (end?.kind === 'trap') return { kind: 'trap', trap: this.#machine.trap! };
      if (end?.kind === 'end') return { kind: 'end' };
      if (this.count >= until) return { kind: 'until' };
      this.#markIfDue();
      if (await this.#interrupted()) return { kind: 'interrupted' };
    }
  }

  /** Executes the next instruction, or trap, of whatever hart is next. */
  async step(): Promise<Landing> {
    return this.run(this.count + 1n);
  }

  /** Executes up to and with the next instruction of this hart. */
  async stepHart(hart: number): Promise<Landing> {
    this.#setTraps(noTraps);
    for (;;) {
      const due = this.#replay.nextCount === this.count;
      if (!due && this.#machine.nextHart === hart) return this.step();
      const landing = this.#turn(this.count + 100_000n);
      if (landing !== undefined) return landing;
      if (await this.#interrupted()) return { kind: 'interrupted' };
    }
  }

  /** One entry of the log that is due, or what the hart that is next executes in its turn. */
  #turn(limit: bigint): Landing | undefined {
    const next = this.#replay.nextCount;
    if (next === undefined) return { kind: 'end' };
    let end: ReplayEnd | undefined;
    if (next === this.count) end = this.#replay.step(next, 1);
    else if (this.#machine.runTurn(next < limit ? next : limit) === 'idle') {
      // The log says that something was executed here: let the replayer say so.
      end = this.#replay.step(next, 1);
    }
    this.#emit();
    return end?.kind === 'diverged' ? end : undefined;
  }

  // --- To anywhere

  /** Outside of the recording is an `UmbraError`. */
  async seek(count: bigint): Promise<Landing> {
    if (count < this.firstCount || count > this.lastCount) {
      throw new UmbraError(
        'outside-recording',
        `The recording reaches from count ${this.firstCount} to ${this.lastCount}, not to ${count}.`,
        'Choose a count between the two.',
      );
    }
    this.#nearest(count);
    if (count === this.count && this.#replay.nextCount !== count) return { kind: 'until' };
    if (count - this.count > 10n * shortlyBefore) {
      // Whoever goes somewhere mostly wants to step back from there next.
      const near = await this.#runOn(count - shortlyBefore, noTraps);
      if (near.kind !== 'until') return near;
      if (this.#replay.nextCount !== this.count) this.#mark();
    }
    const landing = await this.#runOn(count, noTraps);
    return landing.kind === 'end' ? { kind: 'until' } : landing;
  }

  /** A machine at or before this count, by the shortest way. */
  #nearest(count: bigint): void {
    const mark = this.#marks.findLast((each) => each.count <= count);
    const here = this.count <= count ? this.count : undefined;
    const best =
      mark !== undefined && (here === undefined || mark.count > here) ? mark.count : here;
    const snapshot = this.#run.countBefore(count);
    // Another machine has everything to translate anew: it must save a good deal.
    const worth = 50_000_000n;
    if (best === undefined || snapshot > best + worth) this.#replace(count);
    else if (best !== here) this.#rewind(mark!);
  }

  #replace(count: bigint): void {
    this.#setTraps(noTraps);
    const { machine, position } = this.#run.machineBefore(count, this.#machine);
    this.#machine = machine;
    this.#replay = new RecordingReplay(this.#run, machine, position);
    this.#marks = [];
    this.#mark();
  }

  #rewind(mark: Mark): void {
    this.#machine.rewind(mark.point);
    this.#replay = new RecordingReplay(this.#run, this.#machine, mark.position);
    this.#marks = this.#marks.filter(({ count }) => count <= mark.count);
    this.#markedAt = this.#options.now();
  }

  // --- Backward

  /** To in front of the last instruction of this hart. @returns false at the beginning */
  async stepBack(hart: number): Promise<boolean> {
    const found = await this.#lastTurnOf(hart, this.count);
    await this.seek(found ?? this.firstCount);
    return found !== undefined;
  }

  /** The count of the last instruction of this hart before a count. */
  async #lastTurnOf(hart: number, before: bigint): Promise<bigint | undefined> {
    let end = before;
    let length = 1n;
    while (end > this.firstCount) {
      let from = end - length;
      if (from < this.firstCount) from = this.firstCount;
      await this.seek(from);
      this.#setTraps(noTraps);
      if (length === 1n && this.#machine.nextHart === hart) return from;
      let found: bigint | undefined;
      while (this.count < end) {
        const own = this.#machine.nextHart === hart;
        const { count } = this;
        const ended = this.#turn(end);
        // What a turn executed, inputs and waiting aside, was this hart's.
        if (own && this.count > count) found = this.count - 1n;
        if (ended !== undefined) break;
      }
      if (found !== undefined) return found;
      end = from;
      length = length < 1_000_000n ? length * 64n : length * 2n;
    }
    return undefined;
  }

  /**
   * Back to the last trap before the present: in front of the instruction with a breakpoint, or of
   * the one that made the access. @returns undefined if there was none since the beginning, where
   * the machine then is
   */
  async runBack(traps: Traps): Promise<Trap | 'interrupted' | undefined> {
    let end = this.count;
    // What is watched is executed slowly, and what is looked for is mostly near: little by little.
    for (let length = nearCounts; end > this.firstCount; length *= 30n) {
      if (length > farCounts) length = farCounts;
      let from = end - length;
      if (from < this.firstCount) from = this.firstCount;
      if ((await this.seek(from)).kind === 'interrupted') return 'interrupted';
      const hit = await this.#lastHit(end, traps);
      if (hit === 'interrupted') return hit;
      if (hit !== undefined) {
        await this.seek(hit.count);
        return hit.trap;
      }
      end = from;
    }
    await this.seek(this.firstCount);
    return undefined;
  }

  /** The last trap in front of `end`, without stopping at any. */
  async #lastHit(
    end: bigint,
    { breakpoints, watches }: Traps,
  ): Promise<{ count: bigint; trap: Trap } | 'interrupted' | undefined> {
    let hit: { count: bigint; trap: Trap } | undefined;
    const passing = (trap: Trap, count: bigint): void => {
      if (count < end) hit = { count, trap };
    };
    const landing = await this.#runOn(end, { breakpoints, watches, passing });
    return landing.kind === 'interrupted' ? 'interrupted' : hit;
  }

  // --- Points

  #mark(): void {
    const { count } = this;
    this.#markedAt = this.#options.now();
    if (this.#marks.at(-1)?.count === count) return;
    const point = this.#machine.keepPoint();
    this.#marks.push({ count, position: this.nextPosition, point });
  }

  #markIfDue(): void {
    const { historyBytesMax = historyBytesMaxDefault, pointMicros = pointMicrosDefault } =
      this.#options;
    if (this.#options.now() - this.#markedAt < pointMicros) return;
    if (this.#replay.nextCount === this.count) return;
    this.#mark();
    // The older, the sparser: every other one of the older half goes, then the oldest.
    if (this.#marks.length > 256) this.#thin();
    while (this.#marks.length > 2 && this.#machine.historyBytes > historyBytesMax) {
      this.#machine.forgetPoint(this.#marks.shift()!.point);
    }
  }

  #thin(): void {
    const older = this.#marks.slice(0, this.#marks.length / 2);
    const kept = older.filter((mark, index) => {
      if (index % 2 === 0) return true;
      this.#machine.forgetPoint(mark.point);
      return false;
    });
    this.#marks = [...kept, ...this.#marks.slice(older.length)];
  }

  // ---

  #setTraps(traps: Traps): void {
    if (traps === this.#traps) return;
    this.#traps = traps;
    this.#machine.setTraps(traps);
  }

  #emit(): void {
    for (const output of this.#machine.takeOutputs()) this.#options.output?.(output);
  }

  async #interrupted(): Promise<boolean> {
    const now = this.#options.now();
    if (this.#options.pause === undefined || now - this.#pausedAt < pausesEvery) return false;
    this.#pausedAt = now;
    return this.#options.pause();
  }
}
