/**
 * A deterministic machine, as lockstep, hosts and the debugger see it.
 *
 * Implementations: `machine/riscv-machine.ts` and the toy machine of the simulator. All state is
 * inside; there is no clock, no randomness and no I/O. Two machines restored from the same snapshot
 * to which the same inputs are applied at the same counts are equal at every count: same outputs,
 * same fingerprint, however their runs were sliced and whatever engine ran them.
 */
import type { DiskRequest, Input, Output, Ticks } from './effects.ts';

export type Stop =
  /** `until` was reached. */
  | 'budget'
  /** A frame has left at which the run was to end. The count may be short of `until`. */
  | 'frame'
  /** Every hart waits; only an input can wake one. The count may be short of `until`. */
  | 'idle'
  /** The machine is switched off (by the guest or by control); it never runs again. */
  | 'off'
  /** A debugger's breakpoint or watchpoint was met, of which lockstep sets none. */
  | 'trap';

/** Whether a run is to end at this frame. */
export type EndsAt = (frame: Uint8Array) => boolean;

/** The same hart and deadline at two moments: it has not been dealt with in between. */
export interface UnservedTimer {
  readonly hart: number;
  readonly deadline: Ticks;
}

export interface Machine {
  /** Instructions retired plus traps taken by all harts since power-on. */
  readonly count: bigint;

  /** The guest's clock at the present count. */
  readonly time: Ticks;

  /**
   * The earliest time at which a hart wakes by itself (its timer), or undefined if none is armed.
   * When the machine is idle, a clock sample at or after this time wakes it.
   */
  readonly wakeTime: Ticks | undefined;

  /**
   * The oldest timer interrupt that the guest has asked for, has left enabled, and has not dealt with
   * although it is due. A guest that responds arms its timer anew within milliseconds; one that waits
   * without a timer, or computes without one, has none.
   */
  readonly unservedTimer: UnservedTimer | undefined;

  /**
   * Runs up to `until`, never beyond. Where it stops changes nothing that a guest can see.
   *
   * @param endsAt it stops behind the instruction by which such a frame leaves
   */
  run(until: bigint, endsAt?: EndsAt): Stop;

  /** Applies an input at the present count. Only between runs. */
  apply(input: Input): void;

  /** Whether the guest takes TCP segments that were joined (`FrameInput.segmentBytes`) on a port. */
  takesSegments(port: number): boolean;

  /** The outputs since the last call, in the order in which the guest produced them. */
  takeOutputs(): Output[];

  /** Disk requests that the guest has made and that no input has completed, oldest first. */
  pendingDiskRequests(): DiskRequest[];

  /** Whether the guest waits for the end of this request: not of one that it made before a reset. */
  awaitsDiskRequest(disk: number, request: number): boolean;

  /** 64 bits over the whole state: equal states have equal fingerprints, wherever they came from. */
  fingerprint(): bigint;

  /** Begins a checkpoint of the present state. Several may be under way at a time. */
  checkpoint(): Checkpoint;

  /** Begins a series of checkpoints. */
  checkpointSeries(): CheckpointSeries;
}

/**
 * Checkpoints that follow each other. To restore the last, add all of its chunks and then those of
 * each before it but their first, which is not RAM, back to one that is whole.
 */
export interface CheckpointSeries {
  /** The present state, or what differs from the checkpoint before; that one must have ended. */
  next(whole: boolean): Checkpoint;
  end(): void;
}

/**
 * The state of a machine at one count, copied out while the machine runs on: what the machine is
 * about to overwrite is set aside first. Chunks are opaque, self-contained, and may be restored in
 * the order given.
 */
export interface Checkpoint {
  readonly count: bigint;
  /** Bytes still to come, for progress; an upper bound. */
  readonly bytesLeft: number;
  /**
   * The next chunk of about `bytesMax` bytes, or undefined when all has been given. An empty one, of
   * a stretch of zeros, need not be restored.
   */
  next(bytesMax: number): Uint8Array | undefined;
  /** Gives up; the machine stops setting aside. Needed unless `next` has returned undefined. */
  cancel(): void;
}

/** The other end of a checkpoint. */
export interface Restore {
  /**
   * Malformed or foreign chunks throw `MalformedBytes` or an `UmbraError`. Of a page that comes more
   * than once the first counts.
   */
  add(chunk: Uint8Array): void;
  /** The machine, once every chunk has been added; bit-identical to the one that was saved. */
  finish(): Machine;
}

/** What makes machines of one configuration. */
export interface MachineMaker {
  /** Digest of everything that decides the machine's behaviour: version, board, firmware, kernel. */
  readonly configuration: Uint8Array;
  powerOn(): Machine;
  restore(): Restore;
}
