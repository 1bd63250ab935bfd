/**
 * What lockstep needs from the outside: time, disks, a way out, an arbiter, a wire.
 *
 * `host/` implements these with Node, `sim/` with a seeded scheduler. Calls never block and never
 * call back: whatever comes of them is handed to the copy later (`diskDone`, `arbiterReplied`,
 * `receive`, `closed`), between two steps.
 */
import type { DiskRequest, Output } from '../machine/effects.ts';
import type { Ask, VmRecord } from './arbiter.ts';
import type { Report } from './status.ts';

/** Microseconds of a clock that never goes back; its origin means nothing. */
export type Micros = number;

export interface Clock {
  now(): Micros;
}

/** One connection to the other copy: whole messages, in order, until it closes. */
export interface Link {
  /** @param headroomBytes of its buffer in front of it, which are the link's to write */
  send(message: Uint8Array, headroomBytes?: number): void;
  /**
   * Idempotent. The other side learns of it; nothing is received afterwards.
   * @param why what the other side did wrong, for people
   */
  close(why?: string): void;
}

/** What `attach` gives back for a link: where its messages go. Late calls are harmless. */
export interface Channel {
  /** The bytes must not be changed afterwards: entries keep views of them. */
  receive(message: Uint8Array): void;
  closed(): void;
}

/** `guest`: a request of the machine. `copy`: a block that builds a replica. Numbered apart. */
export type DiskOrigin = 'guest' | 'copy';

export interface DiskCompletion {
  readonly disk: number;
  readonly request: number;
  readonly ok: boolean;
  readonly data: Uint8Array;
}

export interface Disks {
  /** Carries out overlapping requests of one disk in the order of submission, either origin. */
  submit(origin: DiskOrigin, request: DiskRequest): void;
  /**
   * Of shared disks: takes them over from the copy that the record names as live, for this one,
   * which is about to claim. Nobody else releases a write to them any more; what that copy has under
   * way may still come, and must not reach what is read from now on, unless it has `consented`.
   * `Copy.disksTaken` is called when they are there; what fails is tried again.
   */
  take?(record: VmRecord, consented: boolean): void;
}

/** Shared disks that are there to be written. */
export interface TakenDisks {
  /** Their new name (`SharedDisks.disks`); undefined: they are the present ones. */
  readonly disks: string | undefined;
}

/** The way out. What is sent here has left the machine for good. */
export interface Outputs {
  /** Frames, console bytes and power; never disk requests or entropy. */
  send(output: Output): void;
  /**
   * Whether somebody waits for a frame, as for an answer: it does not wait for the end of a slice,
   * nor to be sealed together with the next.
   */
  readonly isAwaited?: (frame: Uint8Array) => boolean;
  /**
   * What a shadow computed and does not send: its switch learns the guest's addresses from frames,
   * and console bytes that were lost with the primary's host are known here.
   */
  suppressed(output: Output): void;
  /**
   * This copy is live now: announce its addresses, tell every switch the generation.
   */
  announce(epoch: number, generation: number): void;
}

/** The way to the arbiter. Asks and replies may be lost, delayed and repeated. */
export interface ArbiterPort {
  /** The host passes asks and replies through an `ArbiterKnowledge` and stores it durably. */
  ask(ask: Ask): void;
}

/** Everything a copy needs, live or shadow. */
export interface Ports {
  readonly clock: Clock;
  /** Counts also while the host sleeps, whatever the rest of `clock`; without it no lease. */
  readonly bootClock?: Clock;
  readonly disks: Disks;
  readonly outputs: Outputs;
  /** Without an arbiter a machine runs alone and unprotected. */
  readonly arbiter: ArbiterPort | undefined;
  entropy(length: number): Uint8Array;
  /** A strong hash (at most 64 bytes) for comparing blocks of two replicas. */
  blockHash(bytes: Uint8Array): Uint8Array;
  report(report: Report): void;
  /** Takes every batch of the log, in order, for a recording. */
  readonly recording?: (firstPosition: number, entries: Uint8Array) => void;
}
