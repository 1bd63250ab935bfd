/** Places of a recording as people write them: `COUNT`, `time:SECONDS`, `event:N`, `text:TEXT`. */
import { UmbraError } from '../../base/errors.ts';
import { countAtTime, countOfEntry, seekText } from '../../debug/search.ts';
import { Timeline } from '../../debug/timeline.ts';
import type { Output } from '../../machine/effects.ts';
import { nowUs } from '../clock.ts';
import type { Recording } from './recording-reader.ts';

const ticksPerSecond = 1e7;

/** @param from where to begin looking for text; the first appearance behind it counts */
export async function countOfPlace(
  recording: Recording,
  text: string,
  from = recording.firstCount,
): Promise<bigint> {
  const [, kind, argument = ''] = /^(time|event|text):(.*)$/s.exec(text) ?? [];
  if (/^\d+$/.test(text)) return within(recording, BigInt(text));
  if (text === 'begin') return recording.firstCount;
  if (text === 'end') return recording.end.count;
  if (kind === 'event' && /^\d+$/.test(argument)) return countOfEntry(recording, Number(argument));
  if (kind === 'time' && /^\d+(\.\d+)?$/.test(argument)) {
    const ticks = BigInt(Math.round(Number(argument) * ticksPerSecond));
    return countAtTime(recording, ticks, recording.positionBefore(ticks));
  }
  if (kind === 'text' && argument !== '') {
    const outputs: { listener: ((output: Output) => void) | undefined } = { listener: undefined };
    const output = (each: Output): void => outputs.listener?.(each);
    const timeline = new Timeline(recording, { now: nowUs, output });
    await timeline.seek(from);
    if (await seekText(timeline, outputs, argument)) return timeline.count;
    throw new UmbraError(
      'text-not-found',
      `"${argument}" does not appear on the console of this recording.`,
      'Look at the console: umbra replay DIR --export-console FILE.',
    );
  }
  throw new UmbraError(
    'no-place',
    `"${text}" is no place in a recording.`,
    'Write a count of instructions, time:SECONDS, event:N, text:TEXT, begin or end.',
  );
}

function within(recording: Recording, count: bigint): bigint {
  if (count >= recording.firstCount && count <= recording.end.count) return count;
  throw new UmbraError(
    'outside-recording',
    `The recording reaches from count ${recording.firstCount} to ${recording.end.count}, ` +
      `not to ${count}.`,
    'Choose a count between the two.',
  );
}
