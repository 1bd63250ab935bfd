/**
 * Replays a recording from its folder: from a place to a place, as fast as the machine runs or at
 * the pace of the guest's clock, with whatever is to be exported on the way.
 */
import { type VirtConfiguration, virtMachineMaker } from '../../board/virt.ts';
import type { Entry } from '../../lockstep/entries.ts';
import { RecordingReplay, type ReplayEnd } from '../../lockstep/recording-replay.ts';
import type { Divergence } from '../../lockstep/status.ts';
import type { Traps } from '../../machine/debug-traps.ts';
import { type ClockSample, timeOf } from '../../machine/guest-clock.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';
import { nowUs } from '../clock.ts';
import { hostEngine } from '../engine.ts';
import type { Moment, ReplayExport } from '../recording/exports.ts';
import { readConfiguration } from '../recording/machine-description.ts';
import { Recording } from '../recording/recording-reader.ts';
import type { Tier } from '../tiers.ts';

export interface ReplayOptions {
  readonly from?: bigint | undefined;
  /** Behind every input of this count; the end of the recording otherwise. */
  readonly until?: bigint | undefined;
  /** Guest seconds for a second, asked again and again; undefined: as fast as possible. */
  readonly speed?: () => number | undefined;
  /** `allow` is to be asked now, though the guest's clock is ahead. */
  readonly isPressed?: () => boolean;
  readonly exports?: readonly ReplayExport[];
  /** What is watched from `from` on. */
  readonly traps?: Traps | undefined;
  readonly console: (bytes: Uint8Array) => void;
  /** Entries done, of how many. */
  readonly progress: (done: number, total: number) => void;
  /**
   * Asked ahead of each piece of work: how many counts it may execute at most; undefined: as many as
   * it likes; 0: the replay ends here.
   */
  readonly allow?: (machine: RiscvMachine) => Promise<bigint | undefined>;
}

export interface Replayed {
  readonly divergence: Divergence | undefined;
  /** The last count at which a fingerprint was met, or at which the replay began. */
  readonly lastGood: bigint;
  readonly instructions: bigint;
  readonly entries: number;
  readonly fingerprintsCompared: number;
  readonly seconds: number;
  /** Of the guest's clock. */
  readonly guestSeconds: number;
  readonly cutBytes: number;
  /** As it stands at the end, and the entry that it would need next. */
  readonly machine: RiscvMachine;
  readonly nextPosition: number;
}

export interface OpenedRecording {
  readonly recording: Recording;
  readonly configuration: VirtConfiguration;
}

/**
 * @param tier how instructions are executed
 * @param note told of parts that are damaged and passed over
 */
export function openRecording(
  folder: string,
  tier?: Tier,
  note?: (text: string) => void,
): OpenedRecording {
  const configuration = readConfiguration(folder);
  const maker = virtMachineMaker(configuration, hostEngine(tier));
  return { recording: new Recording(folder, maker, note), configuration };
}

/** Instructions between two looks at the event loop. */
const stride = 20_000_000n;
/** The same where somebody wants to see it move. */
const smallStride = 1_000_000n;
const ticksPerSecond = 1e7;
/** Keys are looked at so often while it waits. */
const waitMsMax = 50;
const standingMicros = 100_000;

/** Since when it has gone at a speed: where both clocks were then. */
interface Pace {
  readonly speed: number;
  readonly guest: bigint;
  readonly host: number;
}

export async function replayRecording(
  { recording, configuration }: OpenedRecording,
  options: ReplayOptions,
): Promise<Replayed> {
  return new Replay(recording, configuration, options).run();
}

class Replay {
  readonly #recording: Recording;
  readonly #options: ReplayOptions;
  readonly #machine: RiscvMachine;
  readonly #replay: RecordingReplay;
  readonly #epochOffset: bigint;
  #lastGood: bigint;
  /** Whether `from` has been reached, behind which things are shown and exported. */
  #shown = false;
  #sample: ClockSample;

  constructor(recording: Recording, { epochOffset }: VirtConfiguration, options: ReplayOptions) {
    this.#recording = recording;
    this.#options = options;
    this.#epochOffset = epochOffset;
    const from = options.from ?? recording.firstCount;
    const { machine, position } = recording.machineBefore(from);
    this.#machine = machine;
    this.#sample = machine.clockSample;
    this.#lastGood = machine.count;
    this.#replay = new RecordingReplay(recording, machine, position, (entry) =>
      this.#passed(entry),
    );
  }

  async run(): Promise<Replayed> {
    const { from, progress, until } = this.#options;
    const started = nowUs();
    const total = this.#recording.end.position;
    let end: ReplayEnd | undefined;
    if (from !== undefined && this.#machine.count < from) {
      while (end === undefined) end = await this.#step(from, stride);
    }
    this.#begin();
    let paced: Pace | undefined;
    while (end?.kind !== 'diverged') {
      const asked = nowUs();
      const allowed = await this.#options.allow?.(this.#machine);
      if (allowed === 0n) break;
      // It stood: what it has missed it need not catch up with.
      if (allowed !== undefined || nowUs() - asked > standingMicros) paced = undefined;
      if (allowed !== undefined) {
        const bound = this.#machine.count + allowed;
        end = this.#replay.step(until !== undefined && until < bound ? until : bound);
        this.#emit();
        if (end?.kind === 'end' || end?.kind === 'diverged') break;
        continue;
      }
      const speed = this.#options.speed?.();
      if (paced?.speed !== speed) paced = undefined;
      if (speed !== undefined) {
        paced ??= { speed, guest: this.#machine.time, host: nowUs() };
      }
      const isPaced = speed !== undefined;
      end = await this.#step(until, isPaced ? smallStride : stride, isPaced ? 1 : undefined);
      if (paced !== undefined) await this.#wait(paced);
      if (end?.kind === 'end' || end?.kind === 'diverged') break;
      if (until !== undefined && this.#machine.count >= until && end?.kind === 'until') break;
      progress(this.#replay.nextPosition - 1, total);
    }
    return {
      divergence: end?.kind === 'diverged' ? end.divergence : undefined,
      lastGood: this.#lastGood,
      instructions: this.#machine.count,
      entries: this.#replay.nextPosition - 1,
      fingerprintsCompared: this.#replay.fingerprintsCompared,
      seconds: (nowUs() - started) / 1e6,
      guestSeconds: Number(this.#machine.time) / ticksPerSecond,
      cutBytes: this.#recording.end.cutBytes,
      machine: this.#machine,
      nextPosition: this.#replay.nextPosition,
    };
  }

  #begin(): void {
    this.#shown = true;
    if (this.#options.traps) this.#machine.setTraps(this.#options.traps);
  }

  async #step(
    until: bigint | undefined,
    counts: bigint,
    entriesMax?: number,
  ): Promise<ReplayEnd | undefined> {
    const next = this.#machine.count + counts;
    const bound = until !== undefined && until < next ? until : next;
    const end = this.#replay.step(bound, entriesMax);
    this.#emit();
    await new Promise((resolve) => setImmediate(resolve));
    return end?.kind === 'until' && bound !== until ? undefined : end;
  }

  #passed({ event }: Entry): void {
    // Outputs of before belong to the clock of before.
    this.#emit();
    if (event.kind === 'fingerprint') this.#lastGood = this.#machine.count;
    else if (event.kind === 'clock') this.#sample = this.#machine.clockSample;
    else if (event.kind === 'frame' && this.#shown) {
      const at = this.#moment(this.#machine.count);
      for (const each of this.#options.exports ?? []) each.frameIn?.(event.frame, at);
    }
  }

  #emit(): void {
    for (const output of this.#machine.takeOutputs()) {
      if (!this.#shown) continue;
      if (output.kind === 'console') this.#options.console(output.bytes);
      const exports = this.#options.exports ?? [];
      if (exports.length === 0) continue;
      const at = this.#moment(output.count);
      for (const each of exports) each.output?.(output, at);
    }
  }

  #moment(count: bigint): Moment {
    const ticks = timeOf(this.#sample, count);
    return {
      count,
      seconds: Number(ticks) / ticksPerSecond,
      wallNanoseconds: this.#epochOffset + ticks * 100n,
    };
  }

  /** Waits where the guest's clock is ahead of what it should be. */
  async #wait({ speed, guest, host }: Pace): Promise<void> {
    const due = host + Number(this.#machine.time - guest) / 10 / speed;
    for (;;) {
      const wait = (due - nowUs()) / 1000;
      if (wait <= 1 || this.#options.isPressed?.() || this.#options.speed?.() !== speed) return;
      await new Promise((resolve) => setTimeout(resolve, Math.min(wait, waitMsMax)));
    }
  }
}
