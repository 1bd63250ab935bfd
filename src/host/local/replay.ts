/** Replays a recording from its folder, as fast as the machine runs. */
import { virtMachineMaker } from '../../board/virt.ts';
import { RecordingReplay } from '../../lockstep/recording.ts';
import type { Divergence } from '../../lockstep/status.ts';
import { nowUs } from '../clock.ts';
import { hostEngine } from '../engine.ts';
import type { Tier } from '../tiers.ts';
import { openRecording } from './recording-files.ts';

export interface ReplayOptions {
  readonly until: bigint | undefined;
  readonly tier?: Tier | undefined;
  readonly console: (bytes: Uint8Array) => void;
  /** Entries done, of how many. */
  readonly progress: (done: number, total: number) => void;
}

export interface Replayed {
  readonly divergence: Divergence | undefined;
  readonly instructions: bigint;
  readonly entries: number;
  readonly fingerprintsCompared: number;
  readonly seconds: number;
  readonly cutBytes: number;
}

/** Instructions between two looks at the event loop. */
const stride = 20_000_000n;

export async function replayRecording(folder: string, options: ReplayOptions): Promise<Replayed> {
  const recording = openRecording(folder);
  const maker = virtMachineMaker(recording.configuration, hostEngine(options.tier));
  const machine = maker.powerOn();
  const replay = new RecordingReplay(maker, machine, 0);
  for (const segment of recording.segments) replay.add(segment);
  const total = recording.segments.reduce((sum, { entries }) => sum + entries.length, 0);
  const started = nowUs();
  const result = (divergence: Divergence | undefined): Replayed => ({
    divergence,
    instructions: machine.count,
    entries: replay.position,
    fingerprintsCompared: replay.fingerprintsCompared,
    seconds: (nowUs() - started) / 1e6,
    cutBytes: recording.cutBytes,
  });
  for (;;) {
    const next = machine.count + stride;
    const bound = options.until !== undefined && options.until < next ? options.until : next;
    const end = replay.step(bound);
    for (const output of machine.takeOutputs()) {
      if (output.kind === 'console') options.console(output.bytes);
    }
    if (end?.kind === 'diverged') return result(end.divergence);
    if (end?.kind === 'end') return result(undefined);
    if (options.until !== undefined && machine.count >= options.until) return result(undefined);
    options.progress(replay.position, total);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
