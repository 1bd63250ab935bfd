/**
 * Disks: every request takes a while, overlapping ones in order. A power cut loses what was not
 * flushed, sector by sector as the seed wills; a disk may fail for a while.
 */

import type { DiskCompletion } from '../lockstep/ports.ts';
import type { DiskRequest } from '../machine/effects.ts';
import type { Scheduler } from './scheduler.ts';

const sector = 512;

interface Job {
  readonly request: DiskRequest;
  readonly endsAt: number;
  cancelled: boolean;
}

export class SimDisk {
  readonly bytes: Uint8Array;
  readonly #scheduler: Scheduler;
  /** What a power cut cannot take. */
  readonly #durable: Uint8Array;
  #unflushed: { offset: number; data: Uint8Array }[] = [];
  #jobs: Job[] = [];
  failing = false;
  /** Of a shared disk: whose it is at present. */
  owner: object | undefined;
  /** Called before each change, with whoever makes it. */
  onWrite: (from: object) => void = () => {};

  constructor(scheduler: Scheduler, length: number) {
    this.#scheduler = scheduler;
    this.bytes = new Uint8Array(length);
    this.#durable = new Uint8Array(length);
  }

  fill(bytes: Uint8Array): void {
    this.bytes.set(bytes);
    this.#durable.set(bytes);
  }

  submit(from: object, request: DiskRequest, done: (completion: DiskCompletion) => void): void {
    const { random, now } = this.#scheduler;
    const slow = random.chance(0.03) ? 20_000 : 400;
    let endsAt = now + random.between(50, slow);
    for (const job of this.#jobs) {
      if (overlap(job.request, request)) endsAt = Math.max(endsAt, job.endsAt);
    }
    const job = { request, endsAt, cancelled: false };
    this.#jobs.push(job);
    this.#scheduler.at(endsAt, () => {
      if (job.cancelled) return;
      this.#jobs = this.#jobs.filter((other) => other !== job);
      if (request.action === 'write' || request.action === 'discard') this.onWrite(from);
      done(this.#carryOut(request));
    });
  }

  /** The host makes all that has been written durable. */
  sync(): void {
    for (const write of this.#unflushed) this.#durable.set(write.data, write.offset);
    this.#unflushed = [];
  }

  /** The machine around it lost its power. */
  powerCut(): void {
    for (const job of this.#jobs) {
      job.cancelled = true;
      if (job.request.action === 'write') this.#write(job.request.offset, job.request.data);
    }
    this.#jobs = [];
    for (const { offset, data } of this.#unflushed) {
      for (let at = 0; at < data.length; at += sector) {
        if (this.#scheduler.random.chance(0.5)) {
          this.#durable.set(data.subarray(at, at + sector), offset + at);
        }
      }
    }
    this.#unflushed = [];
    this.bytes.set(this.#durable);
  }

  #carryOut(request: DiskRequest): DiskCompletion {
    const { disk, offset, length } = request;
    const none = new Uint8Array(0);
    const answer = { disk, request: request.request };
    if (this.failing) return { ...answer, ok: false, data: none };
    switch (request.action) {
      case 'read':
        return { ...answer, ok: true, data: this.bytes.slice(offset, offset + length) };
      case 'write':
        this.#write(offset, request.data);
        break;
      case 'flush':
        this.sync();
        break;
      case 'discard':
        break;
    }
    return { ...answer, ok: true, data: none };
  }

  #write(offset: number, data: Uint8Array): void {
    this.bytes.set(data, offset);
    this.#unflushed.push({ offset, data });
  }
}

/** A flush waits for the writes before it. */
function overlap(a: DiskRequest, b: DiskRequest): boolean {
  if (a.action === 'flush' || b.action === 'flush') return true;
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}
