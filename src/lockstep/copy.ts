/**
 * One copy of a machine in whatever role it has: the one thing that a VM process drives.
 *
 * From and to: everything, passed on to the present role. A shadow that goes live becomes a primary
 * here, between two calls; the process around it notices nothing but the report.
 */
import type { Reply } from './arbiter.ts';
import type { Channel, DiskCompletion, DiskOrigin, Link, Micros, TakenDisks } from './ports.ts';
import type { Primary } from './primary.ts';
import type { Shadow } from './shadow.ts';
import type { Ended, FtStatus } from './status.ts';

export class Copy {
  #role: Primary | Shadow;

  constructor(role: Primary | Shadow) {
    this.#role = role;
  }

  /** The live copy, if this is it. */
  get primary(): Primary | undefined {
    const role = this.#present();
    return 'recorder' in role ? role : undefined;
  }

  get shadow(): Shadow | undefined {
    const role = this.#present();
    return 'recorder' in role ? undefined : role;
  }

  get ended(): Ended | undefined {
    return this.#present().ended;
  }

  /** @returns when to be called again; sooner after any other call */
  step(): Micros {
    return this.#present().step();
  }

  attach(link: Link): Channel {
    return this.#present().attach(link);
  }

  /** A shadow has no network: what its switch delivers is dropped. */
  frame(port: number, frame: Uint8Array, segmentBytes = 0): void {
    this.primary?.frame(port, frame, segmentBytes);
  }

  /** Whether `frame` may be given segments of TCP that were joined. */
  takesSegments(port: number): boolean {
    return this.primary?.machine.takesSegments(port) === true;
  }

  console(bytes: Uint8Array): void {
    this.primary?.console(bytes);
  }

  control(action: 'power-button' | 'reset' | 'power-off'): void {
    this.primary?.control(action);
  }

  diskDone(origin: DiskOrigin, completion: DiskCompletion): void {
    this.#present().diskDone(origin, completion);
  }

  /** What a shadow asked its host for by `Disks.take`. */
  disksTaken(taken: TakenDisks): void {
    this.shadow?.disksTaken(taken);
  }

  arbiterReplied(reply: Reply): void {
    this.#present().arbiterReplied(reply);
  }

  /** The center says that the arbiter has begun this epoch and waits for what everybody knows. */
  arbiterRecovers(epoch: number): void {
    this.#present().arbiterRecovers(epoch);
  }

  /** Whether the trunk to the peer's host is open. */
  trunk(open: boolean): void {
    this.shadow?.trunk(open);
  }

  status(): FtStatus | undefined {
    return this.primary?.status();
  }

  #present(): Primary | Shadow {
    if (!('recorder' in this.#role) && this.#role.primary !== undefined) {
      this.#role = this.#role.primary;
    }
    return this.#role;
  }
}
