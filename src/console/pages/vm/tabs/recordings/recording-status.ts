/** How a recording is, in words. Pure. */
import type { RecordingView } from '../../../../../api/recording-endpoints.ts';
import type { Tone } from '../../../../parts/tone.ts';

interface StatusText {
  readonly tone: Tone;
  readonly text: string;
}

const ends: Readonly<Record<string, StatusText>> = {
  stopped: { tone: 'good', text: 'Ended' },
  kept: { tone: 'good', text: 'Kept' },
  'vm-ended': { tone: 'good', text: 'Ended with its VM' },
  failed: { tone: 'bad', text: 'Broken off' },
  'process-lost': { tone: 'warn', text: 'Ended with its process' },
};

export function recordingStatus({ state, end }: Pick<RecordingView, 'state' | 'end'>): StatusText {
  if (state === 'recording') return { tone: 'busy', text: 'Recording' };
  if (state === 'unknown') return { tone: 'unknown', text: 'Unknown' };
  return ends[end ?? ''] ?? { tone: 'good', text: 'Ended' };
}

/** Why nothing can be done with it that its host would do; undefined if it can. */
export function awayText({
  host,
  hostConnected,
}: Pick<RecordingView, 'host' | 'hostConnected'>): string | undefined {
  return hostConnected ? undefined : `${host} is not responding, and it is there alone.`;
}
