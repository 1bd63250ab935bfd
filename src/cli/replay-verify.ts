/** `umbra replay --verify`: whether every fingerprint is met, and if not, which instruction it was. */
import { locate } from '../debug/divergence.ts';
import { nowUs } from '../host/clock.ts';
import { type OpenedRecording, openRecording, replayRecording } from '../host/local/replay.ts';
import type { Tier } from '../host/tiers.ts';
import { ProgressLine } from './progress-line.ts';

interface VerifyOptions {
  readonly from: bigint | undefined;
  readonly until: bigint | undefined;
  readonly tier: Tier;
  readonly json?: boolean;
}

interface Difference {
  readonly what: string;
  readonly left: string;
  readonly right: string;
}

export interface Verdict {
  readonly ok: boolean;
  readonly instructions: number;
  readonly entries: number;
  readonly fingerprintsCompared: number;
  readonly seconds: number;
  readonly guestSeconds: number;
  readonly divergence?: {
    readonly position: number;
    readonly count: number;
    readonly expected: string;
    readonly actual: string;
    readonly recent: readonly string[];
    readonly lastGood: number;
    /** The tier whose replay met the recording's fingerprint. */
    readonly otherTier: Tier;
    readonly instruction?: {
      readonly count: number;
      readonly hart: number;
      readonly text: string;
      readonly differences: readonly Difference[];
    };
    readonly snapshot?: { readonly count: number; readonly differences: readonly Difference[] };
  };
}

export async function verify(
  opened: OpenedRecording,
  folder: string,
  { from, until, tier, json }: VerifyOptions,
): Promise<Verdict> {
  const line = new ProgressLine(json !== true);
  const result = await replayRecording(opened, {
    from,
    until,
    console: () => {},
    progress: (done, total) => line.show('replaying', done, total),
  });
  line.end();
  const { entries, fingerprintsCompared, guestSeconds, seconds } = result;
  const verdict = {
    ok: result.divergence === undefined,
    instructions: Number(result.instructions),
    entries,
    fingerprintsCompared,
    seconds,
    guestSeconds,
  };
  if (result.divergence === undefined) return verdict;
  const otherTier: Tier = tier === 'interpreter' ? 'auto' : 'interpreter';
  const other = openRecording(folder, otherTier).recording;
  const { recording } = opened;
  const located = await locate(recording, other, result.divergence, result.lastGood, {
    now: nowUs,
    snapshotBetween: (after, upTo) => {
      const found = recording.snapshots.find(({ at }) => at.count > after && at.count <= upTo);
      return found && recording.machineBefore(found.at.count).machine;
    },
  });
  const { instruction, snapshot } = located;
  return {
    ...verdict,
    divergence: {
      ...result.divergence,
      count: Number(result.divergence.count),
      lastGood: Number(located.lastGood),
      otherTier,
      ...(instruction && { instruction: { ...instruction, count: Number(instruction.count) } }),
      ...(snapshot && { snapshot: { ...snapshot, count: Number(snapshot.count) } }),
    },
  };
}

export function verdictInWords(verdict: Verdict): string {
  const { divergence, entries, fingerprintsCompared, instructions, seconds } = verdict;
  const speed = instructions / seconds / 1e6;
  const lines = [
    `${instructions} instructions, ${entries} log entries in ${seconds.toFixed(1)} s ` +
      `(${speed.toFixed(0)} million instructions a second)`,
  ];
  if (divergence === undefined) {
    return [...lines, `all ${fingerprintsCompared} fingerprints were met`].join('\n');
  }
  const { instruction, otherTier, snapshot } = divergence;
  lines.push(
    `DIVERGED at entry ${divergence.position}, count ${divergence.count}: ` +
      `${divergence.expected} was recorded, ${divergence.actual} was met`,
    ...divergence.recent.map((entry) => `  ${entry}`),
    `until count ${divergence.lastGood} all was the same`,
  );
  const table = (differences: readonly Difference[], left: string, right: string): string[] => [
    `  ${''.padEnd(28)}${left.padEnd(24)}${right}`,
    ...differences.map((each) => `  ${each.what.padEnd(28)}${each.left.padEnd(24)}${each.right}`),
  ];
  if (instruction !== undefined) {
    lines.push(
      `the instruction at count ${instruction.count}, hart ${instruction.hart}, differs:`,
      `  ${instruction.text}`,
      ...table(instruction.differences, 'here', `tier ${otherTier}, as recorded`),
    );
  } else {
    lines.push(
      `tier ${otherTier} differs from the recording too: the log was altered, or the machine that ` +
        'recorded it behaved otherwise',
    );
  }
  if (snapshot !== undefined) {
    lines.push(`at the snapshot of count ${snapshot.count}:`);
    lines.push(...table(snapshot.differences, 'here', 'recorded'));
  }
  return lines.join('\n');
}
