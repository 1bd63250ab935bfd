/** Places in a recording's timeline: the count at a moment, and how moments are told. Pure. */
import type { RecordingTimelineView } from '../../../api/timeline-endpoints.ts';

type Counted = Pick<RecordingTimelineView, 'from' | 'to' | 'bucketSeconds' | 'counts'>;

/**
 * The count at a moment: exact where a bucket begins, between two of them even.
 * @param seconds of the guest's clock
 */
export function countAt({ from, to, bucketSeconds, counts }: Counted, seconds: number): number {
  if (seconds >= to.seconds) return Number(to.count);
  const buckets = Math.max(0, (seconds - from.seconds) / bucketSeconds);
  const index = Math.min(counts.length - 2, Math.floor(buckets));
  const [low, high] = [Number(counts[index]), Number(counts[index + 1])];
  return Math.floor(low + (high - low) * (buckets - index));
}

/** `0:07.250`, `1:02:03.000`: since the recording began. */
export function clockText(seconds: number): string {
  const all = Math.max(0, Math.round(seconds * 1_000));
  const part = (unit: number, of: number): number => Math.floor(all / unit) % of;
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(all / 3_600_000);
  const minutes = part(60_000, 60);
  const begin = hours > 0 ? `${hours}:${two(minutes)}` : String(minutes);
  return `${begin}:${two(part(1_000, 60))}.${String(all % 1_000).padStart(3, '0')}`;
}
