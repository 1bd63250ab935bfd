/**
 * Places of a recording as people write them: `COUNT`, `time:SECONDS`, `text:TEXT`, `event:N` (an entry
 * of the log), `frame:N` and the like (the Nth entry of a kind), `incident`, `begin`, `end`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Incident } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import { countAtTime, countOfEntry, countOfKind, seekText } from '../../debug/search.ts';
import { Timeline } from '../../debug/timeline.ts';
import type { Output } from '../../machine/effects.ts';
import { nowUs } from '../clock.ts';
import type { Recording } from './recording-reader.ts';

const ticksPerSecond = 1e7;

/** What comes to a guest: a frame, the completion of a disk request, what is typed, a reset or the button. */
const kinds = { frame: 'frame', disk: 'disk', input: 'console', control: 'control' } as const;

/** @param from where to begin looking for text; the first appearance behind it counts */
export async function countOfPlace(
  recording: Recording,
  text: string,
  from = recording.firstCount,
): Promise<bigint> {
  const [, kind, argument = ''] =
    /^(time|event|text|frame|disk|input|control):(.*)$/s.exec(text) ?? [];
  if (/^\d+$/.test(text)) return within(recording, BigInt(text));
  if (text === 'begin') return recording.firstCount;
  if (text === 'end') return recording.end.count;
  if (kind === 'event' && /^\d+$/.test(argument)) return countOfEntry(recording, Number(argument));
  if (kind !== undefined && kind in kinds && /^\d+$/.test(argument)) {
    const wanted = kinds[kind as keyof typeof kinds];
    const { position } = recording.segments[0]!.begins;
    return countOfKind(recording, wanted, Number(argument), position);
  }
  if (kind === 'time' && /^\d+(\.\d+)?$/.test(argument)) {
    return atTime(recording, Number(argument));
  }
  if (text === 'incident') return atTime(recording, incidentOf(recording).at);
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
    'Write a count of instructions, time:SECONDS, text:TEXT, event:N, frame:N, disk:N, input:N, control:N, incident, begin or end.',
  );
}

function atTime(recording: Recording, seconds: number): bigint {
  const ticks = BigInt(Math.round(seconds * ticksPerSecond));
  return countAtTime(recording, ticks, recording.positionBefore(ticks));
}

/** What a flight recorder has kept it for (recording.json). */
function incidentOf({ folder }: Recording): Incident {
  try {
    const text = readFileSync(join(folder, 'recording.json'), 'utf8');
    const incident = (JSON.parse(text) as { ended?: { incident?: Incident } }).ended?.incident;
    if (incident !== undefined) return incident;
  } catch {
    // Not of a cluster.
  }
  throw new UmbraError(
    'no-incident',
    'This recording was not kept for an incident.',
    'Choose another place: text:TEXT, time:SECONDS.',
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
