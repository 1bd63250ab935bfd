/**
 * Rules broken on purpose, one at a time, from outside of lockstep: a checker that cannot catch its
 * own sabotage is worth nothing. Used by simulation.test.ts only.
 */
import { type ArbiterEntry, type Ask, decide, type Reply } from '../lockstep/arbiter.ts';
import { decodeEntries, encodeEntries } from '../lockstep/entries.ts';
import { decodeMessage, encodeMessage } from '../lockstep/messages.ts';
import type { Primary } from '../lockstep/primary.ts';
import type { Tamper } from './network.ts';
import type { Scheduler } from './scheduler.ts';

export type Sabotage =
  /** Outputs leave before they are acknowledged. */
  | 'open-gate'
  /** The arbiter grants whatever it is asked. */
  | 'claim-without-compare'
  /** Batches are acknowledged some time before they arrive. */
  | 'early-acknowledgement'
  /** A lease that never ends. */
  | 'endless-lease'
  /** Whoever takes shared disks over goes on with those that another copy may still write. */
  | 'unfenced-disks'
  /** A cold start takes any replica. */
  | 'stale-start'
  /** An entry arrives otherwise than it was recorded. */
  | 'altered-log';

export function openGate(primary: Primary): void {
  primary.gate.hold = (output) => primary.emit([output]);
}

export function claimWithoutCompare(
  entry: ArbiterEntry,
  ask: Ask,
): { entry: ArbiterEntry; reply: Reply } {
  const { record } = entry;
  const { kind } = ask.operation;
  if (kind === 'goAlone' || kind === 'claim' || kind === 'read') {
    const eligibleShadow = kind === 'read' ? ask.member : undefined;
    const lie = { ...record, live: ask.member, eligibleShadow, generation: record.generation + 1 };
    const { vm, claimId } = ask;
    const granted = { ...entry, record: { ...lie, claimId } };
    return {
      entry: kind === 'read' ? entry : granted,
      reply: { vm, claimId, granted: true, refusal: undefined, record: lie },
    };
  }
  return decide(entry, { ...ask, epoch: record.epoch, generation: record.generation });
}

export function tamperFor(
  sabotage: Sabotage | undefined,
  scheduler: Scheduler,
): Tamper | undefined {
  if (sabotage === 'altered-log') return (bytes) => alter(bytes, scheduler);
  if (sabotage !== 'early-acknowledgement') return undefined;
  return (bytes, from) => {
    const message = decodeMessage(bytes);
    if (message.kind !== 'batch') return bytes;
    const position = message.firstPosition + decodeEntries(message.entries).length - 1;
    const executed = { executedPosition: position, executedCount: 0n };
    from.other.push(encodeMessage({ kind: 'ack', receivedPosition: position, ...executed }));
    scheduler.after(40_000, () => from.push(bytes));
    return undefined;
  };
}

/** One tick of the guest's clock, once in a while. */
function alter(bytes: Uint8Array, scheduler: Scheduler): Uint8Array {
  const message = decodeMessage(bytes);
  if (message.kind !== 'batch' || !scheduler.random.chance(0.05)) return bytes;
  const entries = decodeEntries(message.entries).map((entry) =>
    entry.event.kind === 'clock'
      ? { ...entry, event: { ...entry.event, time: entry.event.time + 1n } }
      : entry,
  );
  return encodeMessage({ ...message, entries: encodeEntries(entries) });
}
