/**
 * Which disk requests are under way on this host, and which ends the guest has not seen yet.
 *
 * From: the machine's disk outputs and the host's completions. To: the primary, which makes each end
 * an input at once, and the replayer, which applies it where the log says. At go-live the ledger
 * goes from one to the other: nothing is issued twice on a replica, and nothing is forgotten.
 */
import type { DiskRequest } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
import type { DiskCompletion, Disks } from './ports.ts';

/** A disk of the machine, as its configuration says. */
export interface DiskShape {
  /** Bytes, a multiple of 512. */
  readonly length: number;
  /** One disk that both hosts reach; otherwise each host has a replica of its own. */
  readonly shared: boolean;
}

export class DiskLedger {
  readonly #disks: Disks;
  /** Requests submitted and not seen by the guest; the value is there once they have ended. */
  readonly #issued = new Map<string, DiskCompletion | undefined>();

  constructor(disks: Disks) {
    this.#disks = disks;
  }

  submit(request: DiskRequest): void {
    this.#issued.set(keyOf(request.disk, request.request), undefined);
    this.#disks.submit('guest', request);
  }

  /** @returns false for a request that is no longer of interest */
  completed(completion: DiskCompletion): boolean {
    const key = keyOf(completion.disk, completion.request);
    if (!this.#issued.has(key)) return false;
    this.#issued.set(key, completion);
    return true;
  }

  completionOf(disk: number, request: number): DiskCompletion | undefined {
    return this.#issued.get(keyOf(disk, request));
  }

  /** The guest has seen the end of this request. */
  applied(disk: number, request: number): void {
    this.#issued.delete(keyOf(disk, request));
  }

  isIssued(disk: number, request: number): boolean {
    return this.#issued.has(keyOf(disk, request));
  }

  /** Requests under way on a disk, ended ones excluded. */
  underWay(disk: number): number {
    let requests = 0;
    for (const [key, completion] of this.#issued) {
      if (completion === undefined && key.startsWith(`${disk}:`)) requests++;
    }
    return requests;
  }

  /** The ends that a machine which goes live still waits for. */
  endedFor(machine: Machine): DiskCompletion[] {
    const ended: DiskCompletion[] = [];
    for (const { disk, request } of machine.pendingDiskRequests()) {
      const completion = this.completionOf(disk, request);
      if (completion !== undefined) ended.push(completion);
    }
    return ended;
  }
}

export function keyOf(disk: number, request: number): string {
  return `${disk}:${request}`;
}
