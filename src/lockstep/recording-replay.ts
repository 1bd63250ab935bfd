/**
 * A recording replayed: a machine, and the log that it is given piece by piece.
 *
 * From: a `Log`, which the host reads from files as it is needed. To: the replayer, which runs the
 * machine. The caller takes the outputs between two steps, and runs as fast or slowly as it likes.
 */
import { assert } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { Entry } from './entries.ts';
import { hole } from './recording-blocks.ts';
import { Replayer } from './replayer.ts';
import type { Divergence } from './status.ts';

/** A stretch of the log. */
export interface Stretch {
  readonly firstPosition: number;
  readonly entries: readonly Entry[];
}

/** The log of a recording. */
export interface Log {
  /** The stretch that holds this position; undefined behind the end. Throws on damage. */
  stretch(position: number): Stretch | undefined;
}

export type ReplayEnd =
  | { readonly kind: 'end' | 'until' | 'trap'; readonly position: number; readonly count: bigint }
  | { readonly kind: 'diverged'; readonly divergence: Divergence };

export class RecordingReplay {
  readonly machine: Machine;
  readonly #log: Log;
  readonly #replayer: Replayer;
  readonly #passed: ((entry: Entry) => void) | undefined;

  /**
   * @param position the next entry to be executed; 1 at power-on
   * @param passed told of each entry when the machine has had it
   */
  constructor(log: Log, machine: Machine, position: number, passed?: (entry: Entry) => void) {
    this.#passed = passed;
    this.machine = machine;
    this.#log = log;
    this.#replayer = new Replayer(machine, position);
  }

  /** The next entry to be executed. */
  get nextPosition(): number {
    return this.#replayer.executedPosition + 1;
  }

  /** Its count; undefined at the end of the log. */
  get nextCount(): bigint | undefined {
    if (this.#replayer.drained) this.#fetch();
    return this.#replayer.nextCount;
  }

  get fingerprintsCompared(): number {
    return this.#replayer.fingerprintsCompared;
  }

  /** Executes up to `until` or some entries; undefined means that there is more. */
  step(until: bigint, entriesMax = 1000): ReplayEnd | undefined {
    for (let executed = 0; executed < entriesMax; executed++) {
      const end = this.#advance(until);
      if (end !== undefined) return end;
    }
    return undefined;
  }

  #advance(until: bigint): ReplayEnd | undefined {
    if (this.#replayer.drained) this.#fetch();
    const advance = this.#replayer.advance(until);
    const position = this.nextPosition;
    const { count } = this.machine;
    switch (advance.kind) {
      case 'entry':
        this.#passed?.({ count, event: advance.event });
        return undefined;
      case 'waiting':
        return { kind: 'end', position, count };
      case 'budget':
        return { kind: 'until', position, count };
      case 'trap':
        return { kind: 'trap', position, count };
      case 'diverged':
        return advance;
      default:
        throw new UmbraError(
          'recording-incomplete',
          `entry ${position} is a disk completion without its data`,
          'This is the log of a pair, not a recording; it cannot be replayed without its disks.',
        );
    }
  }

  #fetch(): void {
    const next = this.nextPosition;
    const stretch = this.#log.stretch(next);
    if (stretch === undefined) return;
    const { firstPosition, entries } = stretch;
    if (firstPosition > next) throw hole(next, firstPosition);
    const rest = entries.slice(next - firstPosition);
    assert(rest.length > 0, 'a stretch without the position that was asked for');
    this.#replayer.push(next, rest);
  }
}
