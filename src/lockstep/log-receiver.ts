/**
 * The shadow's end of the log: takes batches in, in order and without holes, and acknowledges them.
 * Twin of log-sender.ts.
 *
 * From: the link's batches, before and after the machine is there. To: the replayer, and the
 * acknowledgements that open the primary's gate. Received means: in this process's memory. Invariant:
 * what has been acknowledged is executed before this copy ever goes live.
 */
import { MalformedBytes } from '../base/bytes.ts';
import { decodeEntries, type Entry } from './entries.ts';
import type { Ack, BatchMessage } from './messages.ts';
import type { Micros } from './ports.ts';
import type { Replayer } from './replayer.ts';
import { timing } from './timing.ts';

export class LogReceiver {
  #replayer: Replayer | undefined;
  /** Entries that came while the checkpoint was still on its way. */
  #early: Entry[] = [];
  #checkpointPosition: number;
  #releasedPosition: number;
  #ackedAt: Micros = 0;
  #ackedReceived = -1;
  #ackedExecuted = -1;

  /** @param position of the checkpoint; the log begins behind it */
  constructor(position: number) {
    this.#checkpointPosition = position;
    this.#releasedPosition = position;
  }

  get receivedPosition(): number {
    return this.#replayer?.receivedPosition ?? this.#checkpointPosition + this.#early.length;
  }

  get executedPosition(): number {
    return this.#replayer?.executedPosition ?? this.#checkpointPosition;
  }

  /** Outputs sealed up to here have left the primary. */
  get releasedPosition(): number {
    return this.#releasedPosition;
  }

  /** The machine is restored; what came early is now due. */
  restored(replayer: Replayer): void {
    this.#replayer = replayer;
    replayer.push(this.#checkpointPosition + 1, this.#early);
    this.#early = [];
  }

  /** @returns the entries that are new: after a resume a batch may repeat some */
  batch({ firstPosition, releasedPosition, entries }: BatchMessage): Entry[] {
    const known = this.receivedPosition + 1 - firstPosition;
    if (known < 0) throw new MalformedBytes(`a hole before entry ${firstPosition}`);
    const fresh = decodeEntries(entries).slice(known);
    if (fresh.length > 0) {
      if (this.#replayer === undefined) for (const entry of fresh) this.#early.push(entry);
      else this.#replayer.push(firstPosition + known, fresh);
    }
    this.#releasedPosition = Math.max(this.#releasedPosition, releasedPosition);
    return fresh;
  }

  /** The primary holds something back until it knows that this copy has what has come. */
  get awaited(): boolean {
    return this.#releasedPosition < this.receivedPosition;
  }

  /** The primary has drained its gate: nothing up to here is to be sent again. */
  released(position: number): void {
    this.#releasedPosition = Math.max(this.#releasedPosition, position);
  }

  acknowledge(now: Micros): Ack {
    const { receivedPosition, executedPosition } = this;
    this.#ackedAt = now;
    this.#ackedReceived = receivedPosition;
    this.#ackedExecuted = executedPosition;
    return {
      kind: 'ack',
      receivedPosition,
      executedPosition,
      executedCount: this.#replayer?.machine.count ?? 0n,
    };
  }

  /**
   * When an acknowledgement is due that nobody waits for: what has come is told together with its
   * execution; or progress, where more is left; or a heartbeat.
   */
  get ackDue(): Micros {
    const { receivedPosition, executedPosition } = this;
    if (executedPosition === this.#ackedExecuted) return this.#ackedAt + timing.heartbeatMicros;
    const isTold = receivedPosition === this.#ackedReceived;
    if (executedPosition === receivedPosition && !isTold) return 0;
    return this.#ackedAt + timing.executedReportMicros;
  }
}
