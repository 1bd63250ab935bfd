/**
 * The live copy of a machine: unprotected, gaining a shadow, or protected by one.
 *
 * From: frames, completions, keys, orders of the host, and the host's clock. To: the world, past the
 * output gate; the log, for a shadow or a recording. `step` is the whole trip: take inputs, record,
 * apply, run, hold, send; acknowledgements release. Twin of shadow.ts.
 *
 * Invariant: every input is in the log before the machine has it, at the machine's exact count.
 */
import type { DiskRequest, Input, Output, Ticks } from '../machine/effects.ts';
import type { Machine, Stop } from '../machine/machine.ts';
import type { Member, Reply, VmRecord } from './arbiter.ts';
import { type HostClock, sampleDue } from './clock.ts';
import { DiskLedger, type DiskShape } from './disk-ledger.ts';
import { FlowControl } from './flow-control.ts';
import { Lease } from './lease.ts';
import { Membership } from './membership.ts';
import { OutputGate } from './output-gate.ts';
import type { Channel, DiskCompletion, DiskOrigin, Link, Micros, Ports } from './ports.ts';
import { type Guarded, Protection } from './protection.ts';
import { type Batch, Recorder } from './recorder.ts';
import { SliceLength } from './slices.ts';
import type { Ended, FtStatus } from './status.ts';
import { timing } from './timing.ts';
import { TypedBytes } from './typed-bytes.ts';

const never = Number.POSITIVE_INFINITY;
/** Frames that wait for the machine; a network card's ring is not longer. */
const framesWaitingMax = 1024;
/** A longer one, joined or jumbo, takes the places of several. */
const frameBytesUsual = 1_518;
/** A large value is one message with its answer: each costs, and for half of one nobody waits. */
const batchBytesMax = 192 * 1024;

/** What a copy is, whatever its role. */
export interface CopyOptions {
  readonly vm: string;
  readonly member: Member;
  /** Digest of the machine's configuration; both copies must have the same. */
  readonly configuration: Uint8Array;
  readonly disks: readonly DiskShape[];
}

/** What a shadow that goes live brings with it. */
export interface Inheritance {
  readonly gate: OutputGate;
  readonly ledger: DiskLedger;
  readonly membership: Membership;
  readonly inputs: readonly Input[];
  readonly nextCopyRequest: number;
  /** Console bytes that the machine has been given; undefined: nobody knows. */
  readonly typed: number | undefined;
}

export class Primary implements Guarded {
  readonly machine: Machine;
  readonly recorder: Recorder;
  readonly gate: OutputGate;
  readonly protection: Protection;
  /** A whole snapshot of the machine is on its way into a recording. */
  isCopied = false;
  readonly #ports: Ports;
  readonly #disks: readonly DiskShape[];
  readonly #hostClock: HostClock;
  readonly #ledger: DiskLedger;
  readonly #slices = new SliceLength();
  readonly #flow = new FlowControl();
  readonly #typed: TypedBytes | undefined;
  #inputs: Input[] = [];
  #framesWaiting = 0;
  /** Ends of requests that failed here; the guest hears of them only if nobody else can serve it. */
  #failed: DiskCompletion[] = [];
  #stop: Stop = 'budget';
  /** A frame has woken the guest: what it says to that does not wait for the end of a slice. */
  #answers = false;
  #flushedAt: Micros = 0;
  /** When the next batch has to go for what is held and not sealed. */
  #sealBy: Micros = never;
  #fingerprint = { at: 0 as Micros, count: 0n };
  readonly #lease: Lease | undefined;
  /** What may leave when the lease is renewed, in order. */
  #withheld: Output[] = [];
  /** Who takes every batch of the log. */
  #recording: Ports['recording'];
  /** undefined: it has never held one. */
  #leaseHeld: boolean | undefined;

  /** @param clock the host's clock in the guest's ticks */
  constructor(
    options: CopyOptions,
    ports: Ports,
    machine: Machine,
    nextPosition: number,
    clock: HostClock,
    record: VmRecord | undefined,
    inheritance?: Inheritance,
  ) {
    this.machine = machine;
    this.recorder = new Recorder(machine, nextPosition);
    this.#recording = ports.recording;
    this.recorder.listening = this.#recording !== undefined;
    this.gate = inheritance?.gate ?? new OutputGate(nextPosition - 1);
    this.#ports = ports;
    this.#disks = options.disks;
    this.#hostClock = clock;
    const typed = inheritance === undefined ? 0 : inheritance.typed;
    this.#typed = typed === undefined ? undefined : new TypedBytes(typed);
    this.#ledger = inheritance?.ledger ?? new DiskLedger(ports.disks);
    const membership = inheritance?.membership ?? membershipOf(options, ports, record);
    const { vm, configuration, disks } = options;
    const { bootClock, arbiter } = ports;
    if (bootClock !== undefined && arbiter !== undefined && membership !== undefined) {
      const known = (): VmRecord => membership.record;
      this.#lease = new Lease(arbiter, vm, options.member, bootClock, known);
    }
    const firstCopyRequest = inheritance?.nextCopyRequest ?? 0;
    this.protection = new Protection(
      vm,
      configuration,
      this,
      ports,
      disks,
      membership,
      firstCopyRequest,
    );
    for (const input of inheritance?.inputs ?? []) this.#inputs.push(input);
    for (const pending of machine.pendingDiskRequests()) this.#inherit(pending);
  }

  get ended(): Ended | undefined {
    return this.protection.ended;
  }

  /** One turn of the loop. @returns when the next is needed; sooner if anything arrives */
  step(): Micros {
    const started = this.#ports.clock.now();
    const wake = Math.min(this.protection.tick(started), this.#tickLease(started));
    if (this.ended !== undefined) return never;
    this.#keepTo(started);
    if (this.#mayRun(started)) {
      this.#takeInputs(started);
      this.#run(started);
      this.#hold();
    }
    const now = this.#ports.clock.now();
    if (this.#flushDue(now)) this.flush(now);
    if (this.#stop === 'off' && this.#saidAll()) this.protection.stop('stopped', now);
    return this.ended !== undefined ? never : Math.min(wake, this.#nextRun(now), this.#nextFlush());
  }

  /**
   * A shadow that starts must not stop the machine; one that follows is not left behind, and one that
   * is about to take over comes near.
   */
  #keepTo(now: Micros): void {
    const { session, phase, lag, isNearing } = this.protection;
    if (session?.ready !== true) return this.#flow.reset();
    const situation = { isStarting: phase === 'starting', isNearing };
    this.#flow.update(lag, session.sender.executedWork, now, situation);
  }

  // --- inputs --------------------------------------------------------------------------------

  /** @param segmentBytes above 0 only where the machine `takesSegments` */
  frame(port: number, frame: Uint8Array, segmentBytes = 0): void {
    if (this.#framesWaiting >= framesWaitingMax) return;
    this.#framesWaiting += Math.ceil(frame.length / frameBytesUsual);
    this.#inputs.push({ kind: 'frame', port, frame, segmentBytes });
  }

  /** @param at the place of the first byte in all that is typed, where whoever types counts */
  console(bytes: Uint8Array, at?: number): void {
    const fresh = this.#typed?.take(bytes, at) ?? bytes;
    if (fresh.length > 0) this.#inputs.push({ kind: 'console', bytes: fresh });
  }

  /** Console bytes in the log, as a shadow must know them that begins here. */
  get typedBytes(): number | undefined {
    return this.#typed?.recorded;
  }

  /** How many console bytes no failover loses any more; undefined: they are not counted. */
  get typedSafely(): number | undefined {
    return this.#typed?.safe(this.gate);
  }

  control(action: 'power-button' | 'reset' | 'power-off'): void {
    this.#inputs.push({ kind: 'control', action });
  }

  diskDone(origin: DiskOrigin, completion: DiskCompletion): void {
    if (origin === 'copy') return this.protection.diskDone(completion);
    if (!this.#ledger.completed(completion)) return;
    if (completion.ok) this.#inputs.push({ kind: 'disk', ...completion });
    else {
      this.#failed.push(completion);
      const { disk, request } = completion;
      this.#ports.report({ kind: 'disk-error', disk, request });
    }
  }

  #takeInputs(now: Micros): void {
    if (this.#failed.length > 0) this.#settleFailed();
    const host = this.#hostClock.ticksAt(now);
    const waits = this.#stop === 'idle';
    if (waits && this.#framesWaiting > 0) this.#answers = true;
    const idle = waits && this.#inputs.length === 0;
    const clock = sampleDue(this.machine, host, idle, this.#slices.countsPerMicro);
    if (clock !== undefined) this.#record(clock);
    if (this.#inputs.length === 0) return;
    const inputs = this.#inputs;
    this.#inputs = [];
    this.#framesWaiting = 0;
    for (const input of inputs) this.#record(input);
  }

  /**
   * A request without an end, of a copy that was lost or of a saved state. One from before a reset is
   * given none but that: carried out now it might lie over what the guest has written since.
   */
  #inherit(pending: DiskRequest): void {
    const { disk, request } = pending;
    if (this.#ledger.isIssued(disk, request)) return;
    if (this.machine.awaitsDiskRequest(disk, request)) this.#submit(pending);
    else this.#inputs.push({ kind: 'disk', disk, request, ok: false, data: new Uint8Array(0) });
  }

  /** What fails here is left to the shadow's disk, for as long as the guest waits for it. */
  #settleFailed(): void {
    const { machine, protection } = this;
    const allAwaited = this.#failed.every(({ disk, request }) =>
      machine.awaitsDiskRequest(disk, request),
    );
    if (!protection.diskFails(allAwaited)) return;
    for (const completion of this.#failed) this.#inputs.push({ kind: 'disk', ...completion });
    this.#failed = [];
  }

  #record(input: Input): void {
    this.#stop = 'budget';
    if (input.kind === 'console') {
      this.#typed?.record(input.bytes.length, this.recorder.nextPosition);
    }
    if (input.kind !== 'disk') return this.recorder.input(input, false);
    const { disk, request } = input;
    this.#ledger.applied(disk, request);
    const pending = this.machine.pendingDiskRequests();
    // After a reset the guest has forgotten it, and a shadow may never have issued it.
    if (!pending.some((one) => one.disk === disk && one.request === request)) return;
    this.recorder.input(input, this.#carriesData(disk, request));
  }

  #carriesData(disk: number, request: number): boolean {
    if (this.#disks[disk]?.shared !== false || this.#recording !== undefined) return true;
    return this.protection.session?.carries(disk, request) === true;
  }

  // --- the machine ---------------------------------------------------------------------------

  #mayRun(now: Micros): boolean {
    if (this.#stop === 'off' || !this.protection.mayRun || this.gate.full) return false;
    if (this.#withheld.length > 0 || this.#lease?.holds === false) return false;
    return this.#flow.restUntil(now) <= now;
  }

  #run(started: Micros): void {
    if (this.#stop === 'idle') return;
    const from = this.machine.count;
    this.#stop = this.machine.run(
      from + this.#slices.counts,
      this.#answers ? this.#ports.outputs.isAwaited : undefined,
    );
    if (this.#stop !== 'budget') this.#answers = false;
    const ended = this.#ports.clock.now();
    this.#slices.ran(this.machine.count - from, ended - started);
    this.#flow.ran(started, ended);
  }

  #nextRun(now: Micros): Micros {
    if (this.#stop === 'off' || !this.protection.mayRun || this.gate.full) return never;
    if (this.#lease !== undefined && this.#leaseHeld !== true) return never;
    const rest = Math.max(now, this.#flow.restUntil(now));
    if (this.#stop !== 'idle' || this.#inputs.length > 0) return rest;
    const wake = this.machine.wakeTime;
    return wake === undefined ? never : Math.max(rest, this.#hostClock.whenAt(wake));
  }

  // --- outputs -------------------------------------------------------------------------------

  /** Entropy is answered at once, so that no checkpoint finds a question without its answer. */
  #hold(): void {
    for (let outputs = this.machine.takeOutputs(); outputs.length > 0; ) {
      for (const output of outputs) this.#holdOne(output);
      outputs = this.machine.takeOutputs();
    }
  }

  #holdOne(output: Output): void {
    if (output.kind === 'entropy') {
      this.#record({ kind: 'entropy', bytes: this.#ports.entropy(output.length) });
    } else if (output.kind === 'disk' && !this.#isGated(output)) {
      this.#submit(output.request);
    } else if (this.gate.closed) {
      const now = this.#ports.clock.now();
      this.gate.hold(output, now);
      this.#sealBy = Math.min(this.#sealBy, this.#sealDue(output, now));
    } else this.emit([output]);
  }

  /** What nobody waits for may wait for what the machine says next. */
  #sealDue(output: Output, now: Micros): Micros {
    const soonest = this.#flushedAt + timing.sealMicros;
    if (output.kind !== 'frame' || this.#ports.outputs.isAwaited?.(output.frame) !== false) {
      return soonest;
    }
    return Math.max(soonest, now + timing.companyMicros);
  }

  /** Only changes of a shared disk are outputs of the world, and what must not overtake them. */
  #isGated(output: Output & { kind: 'disk' }): boolean {
    const { disk, action } = output.request;
    if (this.#disks[disk]?.shared !== true) return false;
    return action !== 'read' || this.gate.holdsDisk(disk);
  }

  emit(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (this.#withheld.length > 0 || this.#lease?.holds === false) this.#withheld.push(output);
      else if (output.kind === 'disk') this.#ledger.submit(output.request);
      else this.#ports.outputs.send(output);
    }
  }

  #submit(request: DiskRequest): void {
    this.emit([{ kind: 'disk', request, count: this.machine.count }]);
  }

  // --- the lease -----------------------------------------------------------------------------

  #tickLease(now: Micros): Micros {
    const lease = this.#lease;
    if (lease === undefined) return never;
    const next = lease.tick(now);
    const { holds } = lease;
    if (holds && this.#withheld.length > 0) {
      const leaving = this.#withheld;
      this.#withheld = [];
      this.emit(leaving);
    }
    if (holds !== this.#leaseHeld && this.#leaseHeld !== undefined) {
      this.#ports.report({ kind: holds ? 'lease-renewed' : 'lease-lapsed' });
    }
    if (holds || this.#leaseHeld !== undefined) this.#leaseHeld = holds;
    return next;
  }

  #saidAll(): boolean {
    return (
      this.#withheld.length === 0 &&
      this.gate.length === 0 &&
      !(this.recorder.listening && this.recorder.behind)
    );
  }

  // --- the log -------------------------------------------------------------------------------

  #flushDue(now: Micros): boolean {
    if (!this.recorder.listening || !this.recorder.behind) return false;
    if (this.recorder.pendingBytes >= batchBytesMax) return true;
    // A machine that waits has said what it had to say, and one that has been asked its answer; of
    // one that goes on there is more to come.
    if (this.gate.unsealed > 0 && this.#stop !== 'budget') return true;
    return now >= this.#flushBy();
  }

  #nextFlush(): Micros {
    if (!this.recorder.listening || !this.recorder.behind) return never;
    return this.#flushBy();
  }

  /** The world waits least, a shadow not long for what it may execute; a file does not mind. */
  #flushBy(): Micros {
    const isFollowed = this.protection.session !== undefined;
    const patience = isFollowed ? timing.batchMicros : timing.recordingMicros;
    return Math.min(this.#sealBy, this.#flushedAt + patience);
  }

  flush(now: Micros): number {
    if (this.recorder.listening && this.#fingerprintDue(now)) this.#noteFingerprint(now);
    const position = this.#progress(now);
    this.#sendBatch(now);
    if (this.protection.session === undefined && this.#recording === undefined) {
      this.recorder.listening = false;
    }
    return position;
  }

  /**
   * Between two steps: every entry from the next one on goes there, too, and completions of reads
   * carry their data; undefined: no more. Entries before it are not repeated.
   */
  record(recording: Ports['recording']): void {
    const now = this.#ports.clock.now();
    if (this.#recording !== undefined && this.machine.count > this.#fingerprint.count) {
      // Whoever listens no more has the machine's fingerprint at its end.
      this.#noteFingerprint(now);
    }
    this.#sendBatch(now);
    this.#recording = recording;
    if (recording !== undefined) this.recorder.listening = true;
  }

  /** Between two steps: a place in the log of which the host takes a snapshot. @returns its position */
  mark(now: Micros): number {
    this.#progress(now);
    const position = this.recorder.note({ kind: 'checkpoint', id: this.recorder.nextPosition });
    this.#sendBatch(now);
    return position;
  }

  #progress(now: Micros): number {
    const position = this.recorder.note({ kind: 'progress' });
    this.gate.seal(position);
    this.#sealBy = never;
    this.#flushedAt = now;
    return position;
  }

  #sendBatch(now: Micros): void {
    const batch = this.recorder.take();
    if (batch === undefined) return;
    this.protection.send(batch, this.#flow.work, now);
    this.recorded(batch);
  }

  recorded({ firstPosition, entries }: Batch): void {
    this.#recording?.(firstPosition, entries);
  }

  /**
   * Not while a checkpoint is copied: the first fingerprint of a machine that ran without has all
   * that it ever wrote to hash, and the machine stands still meanwhile. Copying does it in passing.
   */
  #fingerprintDue(now: Micros): boolean {
    if (this.protection.session?.copying === true || this.isCopied) return false;
    const { at, count } = this.#fingerprint;
    // A recording ends with one, however short it is.
    const last = this.#stop === 'off' && this.#recording !== undefined;
    if (last && this.machine.count > count) return true;
    return now - at >= timing.fingerprintMicros && this.machine.count > count;
  }

  #noteFingerprint(now: Micros): void {
    this.#fingerprint = { at: now, count: this.machine.count };
    this.recorder.note({ kind: 'fingerprint', value: this.machine.fingerprint() });
  }

  hostTicks(now: Micros): Ticks {
    return this.#hostClock.ticksAt(now);
  }

  sharedDisksQuiet(): boolean {
    if (this.#withheld.length > 0) return false;
    return this.#disks.every(({ shared }, disk) => !shared || this.#ledger.underWay(disk) === 0);
  }

  // --- the rest of the world -----------------------------------------------------------------

  attach(link: Link): Channel {
    return this.protection.attach(link);
  }

  arbiterReplied(reply: Reply): void {
    switch (this.#lease?.receive(reply, this.#ports.clock.now())) {
      case undefined:
        break;
      case 'lost':
        return this.protection.superseded(reply.record);
      case 'recovering':
        return this.protection.arbiterRecovers(reply.record?.epoch ?? 0);
      default:
        return;
    }
    this.protection.arbiterReplied(reply);
  }

  arbiterRecovers(epoch: number): void {
    this.protection.arbiterRecovers(epoch);
  }

  status(): FtStatus {
    return this.protection.status();
  }
}

function membershipOf(
  options: CopyOptions,
  ports: Ports,
  record: VmRecord | undefined,
): Membership | undefined {
  if (ports.arbiter === undefined || record === undefined) return undefined;
  return new Membership(ports.arbiter, options.vm, options.member, record);
}
