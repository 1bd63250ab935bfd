/**
 * The only doors of a machine: what goes in (`Input`) and what comes out (`Output`).
 *
 * A machine is a function of its state and of the inputs applied at exact counts. Whatever it
 * cannot compute is an input; whatever the world can see is an output. Nothing else crosses.
 */

/** Ticks of the guest's clock: 10 MHz, since the epoch that the power-on inputs define. */
export type Ticks = bigint;

/**
 * A clock sample. With c0 the count at which it is applied, the guest's `time` reads
 * `time + floor((c - c0) * rate / 2^24)` for c up to c0 + span, and goes on at rate/16 beyond.
 */
export interface ClockInput {
  readonly kind: 'clock';
  readonly time: Ticks;
  /** Ticks per count in units of 2^-24, 1 to 2^32 - 1. */
  readonly rate: number;
  /** Counts for which `rate` holds, 0 to 2^32 - 1. */
  readonly span: number;
}

/** An Ethernet frame without its check sequence, delivered to a network port. */
export interface FrameInput {
  readonly kind: 'frame';
  readonly port: number;
  readonly frame: Uint8Array;
  /**
   * Above 0 where several TCP segments over IPv4 were joined to this frame: bytes of data in each
   * but the last, 1 to 65,535. Its TCP checksum is then the sum of the pseudo-header alone.
   */
  readonly segmentBytes: number;
}

/** The end of a disk request. A successful read carries its data. */
export interface DiskInput {
  readonly kind: 'disk';
  readonly disk: number;
  readonly request: number;
  readonly ok: boolean;
  /** The data of a successful read, of exactly the requested length; empty otherwise. */
  readonly data: Uint8Array;
}

export interface ConsoleInput {
  readonly kind: 'console';
  readonly bytes: Uint8Array;
}

/** Random bytes that answer the entropy device's requests, in the order of the requests. */
export interface EntropyInput {
  readonly kind: 'entropy';
  readonly bytes: Uint8Array;
}

/** An act of control on the machine. `power-button` asks the guest; the others do not. */
export interface ControlInput {
  readonly kind: 'control';
  readonly action: 'power-button' | 'reset' | 'power-off';
}

export type Input =
  | ClockInput
  | FrameInput
  | DiskInput
  | ConsoleInput
  | EntropyInput
  | ControlInput;

/** A frame of the guest's; `segmentBytes` as in `FrameInput`: who passes it on makes the segments. */
export interface FrameOutput {
  readonly kind: 'frame';
  readonly port: number;
  readonly frame: Uint8Array;
  readonly segmentBytes: number;
}

/** Bytes written by the guest to its console; `offset` counts them since power-on. */
export interface ConsoleOutput {
  readonly kind: 'console';
  readonly offset: bigint;
  readonly bytes: Uint8Array;
}

/**
 * A disk request. Requests of one disk are numbered from 0 in the order in which the guest made
 * them. Requests that overlap must be carried out in that order, on every replica alike.
 */
export interface DiskRequest {
  readonly disk: number;
  readonly request: number;
  readonly action: 'read' | 'write' | 'flush' | 'discard';
  /** Byte offset and byte length on the disk, both multiples of 512. */
  readonly offset: number;
  readonly length: number;
  /** What to write; empty unless `action` is `write`. */
  readonly data: Uint8Array;
}

export interface DiskOutput {
  readonly kind: 'disk';
  readonly request: DiskRequest;
}

/** The guest wants this many random bytes; they come back as an `EntropyInput`. */
export interface EntropyOutput {
  readonly kind: 'entropy';
  readonly length: number;
}

/** The guest has switched itself off or reset itself. */
export interface PowerOutput {
  readonly kind: 'power';
  readonly action: 'off' | 'reset' | 'failed';
}

export type Output = (FrameOutput | ConsoleOutput | DiskOutput | EntropyOutput | PowerOutput) & {
  /** The count at which the guest produced it. */
  readonly count: bigint;
};
