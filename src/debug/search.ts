/**
 * Places of a recording by what people know of them: the guest's time, an entry of the log, text on
 * the console.
 */
import { UmbraError } from '../base/errors.ts';
import type { Entry } from '../lockstep/entries.ts';
import type { Log } from '../lockstep/recording-replay.ts';
import type { ConsoleOutput, Output, Ticks } from '../machine/effects.ts';
import { type ClockSample, countOf } from '../machine/guest-clock.ts';
import type { Timeline } from './timeline.ts';

/** The entries of a log from a position on. */
export function* entriesFrom(
  log: Log,
  position: number,
): Generator<{ position: number; entry: Entry }> {
  for (let next = position; ; ) {
    const stretch = log.stretch(next);
    if (stretch === undefined) return;
    for (const entry of stretch.entries.slice(next - stretch.firstPosition)) {
      yield { position: next++, entry };
    }
  }
}

/**
 * The first count at which the guest's clock reads at least `time`.
 * @param position an entry at or before which the clock read less; 1 for the beginning
 */
export function countAtTime(log: Log, time: Ticks, position: number): bigint {
  let before: ClockSample | undefined;
  let last = 0n;
  for (const { entry } of entriesFrom(log, position)) {
    last = entry.count;
    if (entry.event.kind !== 'clock') continue;
    if (entry.event.time >= time) break;
    const { rate, span } = entry.event;
    before = { ...entry, time: entry.event.time, rate: BigInt(rate), span: BigInt(span) };
  }
  const reached = before && countOf(before, time);
  return reached !== undefined && reached < last ? reached : last;
}

export function countOfEntry(log: Log, position: number): bigint {
  const stretch = position >= 1 ? log.stretch(position) : undefined;
  const entry = stretch?.entries[position - stretch.firstPosition];
  if (entry === undefined) {
    throw new UmbraError(
      'outside-recording',
      `There is no entry ${position} in this recording.`,
      'Entries are numbered from 1; umbra replay --json says how many there are.',
    );
  }
  return entry.count;
}

/**
 * The count of the `number`th entry of a kind, from 1.
 * @param position where the log begins
 */
export function countOfKind(
  log: Log,
  kind: Entry['event']['kind'],
  number: number,
  position: number,
): bigint {
  let found = 0;
  for (const { entry } of entriesFrom(log, position)) {
    if (entry.event.kind === kind && ++found === number) return entry.count;
  }
  throw new UmbraError(
    'outside-recording',
    `There is no entry ${number} of that kind in this recording; it has ${found}.`,
    'They are numbered from 1.',
  );
}

const pieceCounts = 4_000_000n;

/**
 * Goes on to right behind the instruction that completed the next occurrence of this text on the
 * console. @returns false at the end of the recording
 */
export async function seekText(
  timeline: Timeline,
  outputs: { listener: ((output: Output) => void) | undefined },
  text: string,
): Promise<boolean> {
  const wanted = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte));
  const needle = wanted.join('');
  const end = timeline.lastCount;
  let tail = '';
  while (timeline.count < end) {
    const from = timeline.count;
    const goal = from + pieceCounts < end ? from + pieceCounts : end;
    const heard = await listen(timeline, outputs, goal);
    const all = tail + heard.text;
    const at = all.indexOf(needle);
    if (at < 0) {
      tail = all.slice(-needle.length);
      if (heard.stopped) return false;
      continue;
    }
    const length = BigInt(at + needle.length - tail.length);
    await narrow(timeline, outputs, { from, to: timeline.count, length });
    return true;
  }
  return false;
}

/** To the first count at which so many bytes have been emitted since `from`. */
async function narrow(
  timeline: Timeline,
  outputs: Parameters<typeof seekText>[1],
  { from, to, length }: { from: bigint; to: bigint; length: bigint },
): Promise<void> {
  let [low, high] = [from, to];
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    await timeline.seek(from);
    const heard = await listen(timeline, outputs, middle);
    if (BigInt(heard.text.length) >= length) high = middle;
    else low = middle;
  }
  await timeline.seek(high);
}

async function listen(
  timeline: Timeline,
  outputs: Parameters<typeof seekText>[1],
  goal: bigint,
): Promise<{ text: string; stopped: boolean }> {
  let text = '';
  const before = outputs.listener;
  outputs.listener = (output) => {
    if (output.kind === 'console') text += latin(output);
    before?.(output);
  };
  try {
    const landing = await timeline.run(goal);
    return { text, stopped: landing.kind !== 'until' };
  } finally {
    outputs.listener = before;
  }
}

const latin = ({ bytes }: ConsoleOutput): string =>
  Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
