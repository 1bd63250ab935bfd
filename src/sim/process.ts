/**
 * A VM process of the simulator: one copy, its ports, and the loop around it.
 *
 * Computing takes simulated time (so many counts a microsecond); meanwhile, and while the process is
 * paused like a zombie, whatever arrives waits in its queue. Errors of the copy are violations.
 */

import { ByteWriter } from '../base/bytes.ts';
import { hash64 } from '../base/hash64.ts';
import type { Ask, Member, VmRecord } from '../lockstep/arbiter.ts';
import { Copy } from '../lockstep/copy.ts';
import type { Ports } from '../lockstep/ports.ts';
import type { Primary } from '../lockstep/primary.ts';
import type { Shadow } from '../lockstep/shadow.ts';
import type { Report } from '../lockstep/status.ts';
import type { DiskRequest, Output } from '../machine/effects.ts';
import type { Cluster } from './cluster.ts';
import type { Endpoint } from './network.ts';

export class Process implements Endpoint {
  readonly member: Member;
  /** Which power-on its machine descends from. */
  readonly life: number;
  readonly #cluster: Cluster;
  copy!: Copy;
  alive = true;
  /** Microseconds that one count takes. */
  costPerCount = 0.02;
  /** The shadow's frontier when it was last looked at; survives its end. */
  frontier: bigint | undefined;
  /** The set of shared disks that is this process's own, by name. */
  shared: string | undefined;
  /** Which process a shadow follows. */
  follows: Process | undefined;
  #queue: (() => void)[] = [];
  #draining = false;
  #paused = false;
  #busyUntil = 0;
  #wakeAt = Number.POSITIVE_INFINITY;
  #stepBase: { time: number; count: bigint } | undefined;

  constructor(cluster: Cluster, member: Member, life: number) {
    this.#cluster = cluster;
    this.member = member;
    this.life = life;
  }

  get host(): string {
    return this.member.host;
  }

  get name(): string {
    return `${this.member.host}/${this.member.process}`;
  }

  get paused(): boolean {
    return this.#paused;
  }

  begin(role: Primary | Shadow): void {
    this.copy = new Copy(role);
    this.wake(this.#cluster.scheduler.now);
  }

  now(): number {
    const base = this.#stepBase;
    if (base === undefined) return Math.max(this.#cluster.scheduler.now, this.#busyUntil);
    const spent = Number(this.#machineCount() - base.count) * this.costPerCount;
    return base.time + spent;
  }

  deliver(act: () => void): void {
    if (!this.alive) return;
    this.#queue.push(act);
    this.#drain();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const { now, random } = this.#cluster.scheduler;
    // A loop that was stopped goes on where it was: at timers that are due, or at what has arrived.
    const drainsFirst = random.chance(0.5);
    if (drainsFirst) this.#drain();
    this.wake(now);
    if (!drainsFirst) this.#drain();
  }

  die(): void {
    this.alive = false;
    this.#queue = [];
  }

  wake(at: number): void {
    const time = Math.max(at, this.#busyUntil);
    if (time >= this.#wakeAt && this.#wakeAt >= this.#cluster.scheduler.now) return;
    if (time === Number.POSITIVE_INFINITY) return;
    this.#wakeAt = time;
    this.#cluster.scheduler.at(time, () => {
      if (this.#wakeAt === time) this.#step();
    });
  }

  #drain(): void {
    if (this.#draining || this.#paused) return;
    this.#draining = true;
    this.#cluster.scheduler.at(this.#busyUntil, () => {
      this.#draining = false;
      if (this.#paused || !this.alive) return;
      const queue = this.#queue;
      this.#queue = [];
      for (const act of queue) this.#guarded(act);
      if (queue.length > 0) this.wake(this.#cluster.scheduler.now);
    });
  }

  #step(): void {
    this.#wakeAt = Number.POSITIVE_INFINITY;
    if (!this.alive || this.#paused) return;
    const { scheduler } = this.#cluster;
    this.#stepBase = { time: scheduler.now, count: this.#machineCount() };
    let next = Number.POSITIVE_INFINITY;
    this.#guarded(() => {
      next = this.copy.step();
    });
    // Every turn of the loop costs something, or time would stand still.
    this.#busyUntil = this.now() + 2;
    this.#stepBase = undefined;
    if (this.copy.ended !== undefined) return this.#cluster.processEnded(this);
    this.#cluster.suspending.look(this);
    this.wake(next);
  }

  #guarded(act: () => void): void {
    if (!this.alive) return;
    try {
      act();
    } catch (error) {
      this.#cluster.violation('no-crash', `${this.name}: ${(error as Error).stack}`);
      this.die();
      return;
    }
    const frontier = this.copy.shadow?.frontier;
    if (frontier !== undefined) this.frontier = frontier;
  }

  #machineCount(): bigint {
    return this.copy.primary?.machine.count ?? this.copy.shadow?.machine?.count ?? 0n;
  }

  /** The world, as this process sees it. */
  ports(): Ports {
    const cluster = this.#cluster;
    return {
      clock: { now: () => this.now() },
      disks: {
        submit: (origin, request: DiskRequest) =>
          cluster
            .diskOf(this, request.disk)
            .submit(this, request, (completion) =>
              this.deliver(() => this.copy.diskDone(origin, completion)),
            ),
        take: (record: VmRecord, consented) => cluster.takeDisks(this, record, consented),
      },
      bootClock: { now: () => cluster.bootTime(this) },
      outputs: {
        send: (output: Output) => cluster.released(this, output),
        suppressed: () => {},
        announce: (epoch, generation) => cluster.announced(this, epoch, generation),
      },
      arbiter: { ask: (ask: Ask) => cluster.ask(this.host, ask, this) },
      entropy: (length) => cluster.scheduler.random.bytes(length),
      blockHash: (bytes) => new ByteWriter(8).u64(hash64(bytes)).finish(),
      report: (report: Report) => cluster.reported(this, report),
    };
  }
}
