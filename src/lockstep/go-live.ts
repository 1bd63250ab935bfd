/**
 * The shadow's last act: from everything it has it makes the primary that continues at this count.
 *
 * From: a shadow whose claim was granted, all that it received replayed. To: the world. In order:
 * everybody learns which generation to believe; disk I/O that was begun and has no end yet is the
 * new primary's (its own replica has it already under way, a shared disk gets it again); the gate
 * opens and the frames kept since the last release go out again, which TCP absorbs.
 */
import type { Input, Ticks } from '../machine/effects.ts';
import { HostClock } from './clock.ts';
import type { DiskLedger } from './disk-ledger.ts';
import type { Membership } from './membership.ts';
import type { OutputGate } from './output-gate.ts';
import type { Micros, Ports } from './ports.ts';
import { type CopyOptions, Primary } from './primary.ts';
import type { Replayer } from './replayer.ts';
import type { GoLiveCause, GoLiveStory } from './status.ts';

/** How the shadow came to claim; moments of the host's clock. */
export interface Lost {
  readonly cause: GoLiveCause;
  /** The primary's last sign. */
  readonly heardAt: Micros;
  readonly decidedAt: Micros;
}

/** What a shadow leaves behind. */
export interface Estate {
  readonly replayer: Replayer;
  readonly gate: OutputGate;
  readonly ledger: DiskLedger;
  readonly membership: Membership;
  /** The last clock sample, and when it was received. */
  readonly clock: { readonly ticks: Ticks; readonly at: Micros };
  /** Lengths of random bytes that the guest has asked for and not been given. */
  readonly entropyOwed: readonly number[];
  readonly nextCopyRequest: number;
  readonly lost: Lost;
  /** Console bytes that the machine has been given; undefined: nobody knows. */
  readonly typed: number | undefined;
}

export function goLive(options: CopyOptions, ports: Ports, estate: Estate, now: Micros): Primary {
  const { replayer, gate, ledger, membership, clock, nextCopyRequest, typed } = estate;
  const { machine, executedPosition } = replayer;
  const { record } = membership;
  const elapsed = BigInt(Math.floor((now - clock.at) * 10));
  const hostClock = new HostClock(clock.ticks + elapsed, now);
  const ends: Input[] = ledger.endedFor(machine).map((end) => ({ kind: 'disk', ...end }));
  const entropy: Input[] = estate.entropyOwed.map((length) => ({
    kind: 'entropy',
    bytes: ports.entropy(length),
  }));
  const inputs = [...ends, ...entropy];
  ports.outputs.announce(record.epoch, record.generation);
  const inheritance = { gate, ledger, membership, inputs, nextCopyRequest, typed };
  const position = executedPosition + 1;
  const primary = new Primary(options, ports, machine, position, hostClock, record, inheritance);
  const kept = gate.open();
  primary.emit(kept);
  const { generation } = record;
  const story = storyOf(estate.lost, ports.clock.now());
  ports.report({ kind: 'went-live', generation, resent: kept.length, ...story });
  return primary;
}

function storyOf({ cause, heardAt, decidedAt }: Lost, now: Micros): GoLiveStory {
  return {
    cause,
    detectionMicros: cause === 'handed-over' ? 0 : decidedAt - heardAt,
    interruptionMicros: now - heardAt,
  };
}
