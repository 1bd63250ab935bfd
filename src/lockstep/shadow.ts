/**
 * The shadow: executes the primary's log behind it, says nothing, and goes live when it must.
 *
 *              welcome        restored          silent, closed        replayed        granted
 *   greeting --------> restoring -----> replaying ----------> draining -------> claiming -----> live
 *                                           ^                    | link again      |
 *                                           +--------------------+                 v refused
 *                                                                                ended
 *
 * From: the primary's batches. To: the own disk replica, acknowledgements, and after go-live a
 * `Primary` that continues at the same count. `step` is the whole trip: (receive, acknowledge,) run,
 * apply, compare, drop, report. Twin of primary.ts.
 *
 * Invariants: never beyond the log. Once a claim has been sent nothing is acknowledged any more, for
 * ever: a primary that is still alive can release nothing. It replays first and claims last, so a
 * shadow that dies in between takes no healthy primary with it.
 */
import { MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import type { DiskRequest, Output, Ticks } from '../machine/effects.ts';
import type { Machine, MachineMaker, Restore } from '../machine/machine.ts';
import { type Member, type Operation, type Reply, sameMember, type VmRecord } from './arbiter.ts';
import { DiskLedger, type DiskShape } from './disk-ledger.ts';
import type { Entry } from './entries.ts';
import { goLive, type Lost } from './go-live.ts';
import { LogReceiver } from './log-receiver.ts';
import { Membership } from './membership.ts';
import {
  type BatchMessage,
  decodeMessage,
  encodeMessage,
  type Message,
  protocolVersions,
  type Refuse,
} from './messages.ts';
import { OutputGate } from './output-gate.ts';
import type {
  Channel,
  DiskCompletion,
  DiskOrigin,
  Link,
  Micros,
  Ports,
  TakenDisks,
} from './ports.ts';
import type { CopyOptions, Primary } from './primary.ts';
import { PrimaryWatch } from './primary-watch.ts';
import { type Advance, Replayer } from './replayer.ts';
import { type ReplicaProgress, ReplicaTarget } from './replica-target.ts';
import { SliceLength } from './slices.ts';
import type { Ended } from './status.ts';
import { timing } from './timing.ts';

const never = Number.POSITIVE_INFINITY;

export type ShadowPhase =
  | 'greeting'
  | 'restoring'
  | 'replaying'
  | 'draining'
  | 'claiming'
  | 'live'
  | 'ended';

export class Shadow {
  readonly #options: CopyOptions;
  readonly #maker: MachineMaker;
  readonly #ports: Ports;
  readonly #disks: readonly DiskShape[];
  readonly #membership: Membership;
  readonly #ledger: DiskLedger;
  readonly #target: ReplicaTarget;
  readonly #slices = new SliceLength();
  #phase: ShadowPhase = 'greeting';
  #restore: Restore | undefined;
  #chunks = 0;
  /** There from the beginning of the checkpoint on. */
  #log: LogReceiver | undefined;
  #replayer: Replayer | undefined;
  #gate = new OutputGate(0);
  #entropyOwed: number[] = [];
  /** Console bytes that the machine has been given; undefined: the primary does not count them. */
  #typed: number | undefined;
  #clock: { ticks: Ticks; at: Micros } = { ticks: 0n, at: 0 };
  #link: Link | undefined;
  #primary: Member | undefined;
  readonly #watch: PrimaryWatch;
  #ready = false;
  #consented = false;
  /** Why and when this copy last decided that it is to go live. */
  #lost: Lost | undefined;
  #blockedOnDisk = false;
  /** Shared disks: they have been asked for, and are there, or there are none. */
  #taking = false;
  #taken: TakenDisks | undefined;
  /** The machine that went live, in its new role. */
  primary: Primary | undefined;
  ended: Ended | undefined;

  constructor(options: CopyOptions, ports: Ports, maker: MachineMaker, record: VmRecord) {
    this.#options = options;
    this.#maker = maker;
    this.#ports = ports;
    this.#disks = options.disks;
    this.#membership = new Membership(ports.arbiter!, options.vm, options.member, record);
    this.#ledger = new DiskLedger(ports.disks);
    this.#target = new ReplicaTarget(ports.disks, options.disks, ports.blockHash);
    this.#watch = new PrimaryWatch(ports.clock.now());
  }

  get phase(): ShadowPhase {
    return this.#phase;
  }

  /** Its machine replays and its replica is whole: all that is left is to follow. */
  get ready(): boolean {
    return this.#ready;
  }

  get machine(): Machine | undefined {
    return this.#replayer?.machine;
  }

  /** The count up to which this copy could execute with what it has received. */
  get frontier(): bigint | undefined {
    return this.#replayer?.frontier;
  }

  get replica(): ReplicaProgress {
    return this.#target.progress;
  }

  get fingerprintsCompared(): number {
    return this.#replayer?.fingerprintsCompared ?? 0;
  }

  get lastFingerprint(): Replayer['lastFingerprint'] {
    return this.#replayer?.lastFingerprint;
  }

  /** One turn of the loop. @returns when the next is needed; sooner if anything arrives */
  step(): Micros {
    const now = this.#ports.clock.now();
    if (this.ended !== undefined || this.#phase === 'live') return never;
    const asked = this.#membership.tick(now);
    const busy = this.#replay(now);
    if (this.#replayer !== undefined) this.#target.pump();
    this.#reportReady();
    if (this.#log !== undefined) this.#gate.forget(this.#log.releasedPosition);
    const report = this.#reportExecuted(now);
    const watch = this.#watchPrimary(now);
    if (this.ended !== undefined || this.primary !== undefined) return now;
    return busy ? now : Math.min(asked, watch, report);
  }

  // --- execution -----------------------------------------------------------------------------

  /** Executes what the log allows, for about one slice. @returns whether there is more to do now */
  #replay(started: Micros): boolean {
    const replayer = this.#replayer;
    if (replayer === undefined) return false;
    const { machine } = replayer;
    const from = machine.count;
    const until = from + this.#slices.counts * 4n;
    this.#blockedOnDisk = false;
    for (let entries = 0; entries < 1000; entries++) {
      const advance = replayer.advance(until);
      this.#keep(machine.takeOutputs());
      if (advance.kind === 'entry') this.#passed(advance);
      else {
        const ended = this.#ports.clock.now();
        this.#slices.ran(machine.count - from, ended - started);
        return this.#stoppedAt(advance);
      }
    }
    return true;
  }

  #passed({ position, event }: Advance & { kind: 'entry' }): void {
    if (event.kind === 'progress') this.#gate.seal(position);
    else if (event.kind === 'entropy') this.#entropyOwed.shift();
    else if (event.kind === 'console' && this.#typed !== undefined) {
      this.#typed += event.bytes.length;
    }
  }

  #stoppedAt(advance: Exclude<Advance, { kind: 'entry' }>): boolean {
    switch (advance.kind) {
      case 'waiting':
        return false;
      case 'budget':
        return true;
      case 'trap':
        throw new Error('a shadow has no debugger');
      case 'disk-wait':
        this.#blockedOnDisk = true;
        return false;
      case 'disk-failed':
        this.#diskFailed(advance.disk);
        return false;
      case 'diverged': {
        const { divergence } = advance;
        const text = `diverged at entry ${divergence.position}`;
        this.#send({ kind: 'divergence', divergence });
        this.#end({ kind: 'diverged', text, divergence });
        return false;
      }
    }
  }

  /** Computed, and kept as long as the primary has not said that it sent them. */
  #keep(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.kind === 'entropy') this.#entropyOwed.push(output.length);
      else if (output.kind === 'disk') this.#diskOutput(output.request);
      else {
        this.#ports.outputs.suppressed(output);
        this.#gate.hold(output);
      }
    }
  }

  /** The own replica is written; a shared disk is the primary's. */
  #diskOutput(request: DiskRequest): void {
    if (this.#disks[request.disk]?.shared !== false) return;
    this.#target.guestWrites(request);
    this.#ledger.submit(request);
  }

  diskDone(origin: DiskOrigin, completion: DiskCompletion): void {
    if (this.ended !== undefined) return;
    if (origin === 'guest') {
      if (!this.#ledger.completed(completion)) return;
      if (!completion.ok) this.#diskFailed(completion.disk);
      return;
    }
    const result = this.#target.diskDone(completion);
    if (result === 'failed') this.#diskFailed(completion.disk);
    else if (result !== undefined) this.#send(result);
  }

  /** A replica that lacks a write is no replica; the primary's guest does not hear of it. */
  #diskFailed(disk: number): void {
    if (this.ended !== undefined) return;
    this.#send({ kind: 'disk-failed', disk });
    this.#end({ kind: 'disk-failed', text: `disk ${disk} of this host failed` });
  }

  // --- the log channel -----------------------------------------------------------------------

  attach(link: Link): Channel {
    if (this.ended !== undefined || !this.#acknowledging()) {
      link.close();
      return { receive: () => {}, closed: () => {} };
    }
    this.#link?.close();
    this.#link = link;
    const { vm, configuration, member } = this.#options;
    const received = this.#replayer?.receivedPosition;
    const body = { vm, configuration, host: member.host, process: member.process, received };
    const [versionMin, versionMax] = [protocolVersions.min, protocolVersions.max];
    this.#send({ kind: 'hello', versionMin, versionMax, body });
    return {
      receive: (message) => {
        if (this.#link === link) this.#guarded(() => this.#receive(decodeMessage(message)));
      },
      closed: () => {
        if (this.#link === link) this.#linkClosed();
      },
    };
  }

  /** Whether the trunk between the two hosts is open; with both closed the host is gone. */
  trunk(open: boolean): void {
    if (this.#watch.trunk(open, this.#ports.clock.now())) this.#send({ kind: 'ping' });
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof MalformedBytes || error instanceof UmbraError)) throw error;
      this.#link?.close(error.message);
      this.#linkClosed();
      if (this.#replayer === undefined) this.#end({ kind: 'refused', text: error.message });
    }
  }

  #linkClosed(): void {
    this.#link = undefined;
    this.#watch.linkClosed(this.#ports.clock.now());
  }

  #acknowledging(): boolean {
    return this.#phase !== 'claiming' && this.#phase !== 'live' && this.#phase !== 'ended';
  }

  #receive(message: Message): void {
    if (!this.#acknowledging()) return;
    this.#watch.heard(this.#ports.clock.now());
    switch (message.kind) {
      case 'welcome':
        this.#primary = { host: message.host, process: message.process };
        return this.#welcomed(message.resumed);
      case 'refuse':
        return this.#refused(message);
      case 'batch':
        return this.#batch(message);
      case 'checkpoint-begin':
        if (this.#phase !== 'greeting') throw new MalformedBytes('a checkpoint in between');
        this.#phase = 'restoring';
        this.#restore = this.#maker.restore();
        this.#log = new LogReceiver(message.position);
        this.#clock = { ticks: message.ticks, at: this.#watch.heardAt };
        return;
      case 'typed':
        if (this.#phase !== 'restoring') throw new MalformedBytes('a count of keys in between');
        this.#typed = message.bytes;
        return;
      case 'checkpoint-chunk':
        if (this.#restore === undefined) throw new MalformedBytes('a chunk in between');
        this.#restore.add(message.bytes);
        return this.#send({ kind: 'checkpoint-ack', chunks: ++this.#chunks });
      case 'checkpoint-end':
        if (this.#restore === undefined) throw new MalformedBytes('the end of no checkpoint');
        return this.#restored(this.#restore.finish());
      case 'blocks':
        return this.#target.answered(message);
      case 'eligible':
        return this.#eligible(message.epoch, message.generation);
      case 'consent':
        if (message.position !== this.#log?.receivedPosition)
          throw new MalformedBytes('a late consent');
        this.#log.released(message.position);
        this.#consented = true;
        return;
      default:
        throw new MalformedBytes(`a primary does not send ${message.kind}`);
    }
  }

  #welcomed(resumed: boolean): void {
    this.#watch.welcomed();
    if (!resumed) return;
    if (this.#phase === 'draining') this.#phase = 'replaying';
    for (const ask of this.#target.unanswered()) this.#send(ask);
    if (this.#ready) this.#send({ kind: 'ready' });
    this.#acknowledge();
  }

  #eligible(epoch: number, generation: number): void {
    const { member } = this.#options;
    const live = this.#primary!;
    const currentReplicas = [live.host, member.host];
    const claimId = '';
    const state = 'live';
    // As it was read when this copy began: only who becomes live changes it.
    const { shared } = this.#membership.record;
    const record = {
      ...(shared !== undefined && { shared }),
      epoch,
      generation,
      state,
      live,
      eligibleShadow: member,
      currentReplicas,
    } as const;
    this.#membership.learn({ ...record, claimId });
  }

  #refused({ code, text }: Refuse): void {
    if (code === 'dismissed' || code === 'off') return this.#end({ kind: 'dismissed', text });
    if (this.#replayer === undefined)
      return this.#end({ kind: 'refused', text: `${code}: ${text}` });
    // A resume that came too late. The primary is about to go alone; should it die before the
    // arbiter knows, this copy is still the one that may go live. So it waits and asks there.
    this.#link?.close();
    this.#linkClosed();
  }

  #batch(message: BatchMessage): void {
    if (this.#log === undefined) throw new MalformedBytes('a batch before the checkpoint');
    this.#noteClock(this.#log.batch(message));
    if (this.#log.awaited) this.#acknowledge();
  }

  #noteClock(entries: readonly Entry[]): void {
    const sample = entries.findLast(({ event }) => event.kind === 'clock')?.event;
    if (sample?.kind === 'clock') this.#clock = { ticks: sample.time, at: this.#watch.heardAt };
  }

  #restored(machine: Machine): void {
    this.#restore = undefined;
    this.#phase = 'replaying';
    const { executedPosition } = this.#log!;
    this.#replayer = new Replayer(machine, executedPosition + 1, this.#ledger);
    this.#log!.restored(this.#replayer);
    this.#gate = new OutputGate(executedPosition);
    this.#gate.close();
    for (const request of machine.pendingDiskRequests()) this.#diskOutput(request);
    this.#target.pump();
  }

  #reportReady(): void {
    if (this.#ready || this.#replayer === undefined || !this.#target.whole) return;
    this.#ready = true;
    this.#send({ kind: 'ready' });
  }

  /** @returns when the next acknowledgement is due */
  #reportExecuted(now: Micros): Micros {
    if (this.#link === undefined || this.#log === undefined || !this.#acknowledging()) return never;
    if (now >= this.#log.ackDue) this.#acknowledge();
    return this.#log.ackDue;
  }

  #acknowledge(): void {
    if (this.#link === undefined || this.#log === undefined || !this.#acknowledging()) return;
    this.#send(this.#log.acknowledge(this.#ports.clock.now()));
  }

  #send(message: Message): void {
    this.#link?.send(encodeMessage(message));
  }

  // --- go-live -------------------------------------------------------------------------------

  /** Is the primary still there? If not: replay everything, then claim. @returns the next look */
  #watchPrimary(now: Micros): Micros {
    const { heardAt, closed, lostAt } = this.#watch;
    switch (this.#phase) {
      case 'greeting':
      case 'restoring':
        if (now < heardAt + timing.greetingMicros && !closed) {
          return heardAt + timing.greetingMicros;
        }
        this.#end({ kind: 'refused', text: 'the primary was lost before the machine was here' });
        return never;
      case 'replaying': {
        const due = this.#consented ? now : lostAt;
        if (now < due) return due;
        this.#phase = 'draining';
        this.#lost = {
          cause: this.#consented ? 'handed-over' : this.#watch.cause,
          heardAt,
          decidedAt: now,
        };
        return now;
      }
      case 'draining':
        if (!this.#consented && now < lostAt) {
          this.#phase = 'replaying';
          return now;
        }
        if (!this.#replayer!.drained) return this.#blockedOnDisk ? never : now;
        this.#claim(now);
        return now;
      default:
        return never;
    }
  }

  /**
   * From here on nothing is acknowledged. The arbiter says whether this copy is eligible: whether the
   * message `eligible` got here is chance. One that has it claims in that generation at once; where
   * the generation has moved on, the refusal tells the record as the answer to `read` does.
   */
  #claim(now: Micros): void {
    this.#phase = 'claiming';
    if (!this.#consented) {
      this.#link?.close();
      this.#link = undefined;
    }
    // Whose disks are shared reads first: the record names those that are to be taken over.
    const knows = this.#isEligible() && !this.#hasShared();
    this.#membership.ask(knows ? this.#claimNow() : { kind: 'read' }, now);
  }

  #hasShared(): boolean {
    return this.#disks.some(({ shared }) => shared);
  }

  #claimNow(): Operation {
    const disks = this.#taken?.disks;
    return { kind: 'claim', ...(disks !== undefined && { disks }) };
  }

  /** Eligible: claims, once shared disks are this copy's own. */
  #proceed(now: Micros): void {
    if (this.#taken !== undefined || !this.#hasShared()) {
      return this.#membership.ask(this.#claimNow(), now);
    }
    if (this.#taking) return;
    this.#taking = true;
    this.#ports.disks.take!(this.#membership.record, this.#consented);
  }

  disksTaken(taken: TakenDisks): void {
    if (this.#phase !== 'claiming' || this.#taken !== undefined) return;
    this.#taken = taken;
    this.#proceed(this.#ports.clock.now());
  }

  /** By the last record that is known here. */
  #isEligible(): boolean {
    const { record, member } = this.#membership;
    return record.state === 'live' && sameMember(record.eligibleShadow, member);
  }

  arbiterRecovers(epoch: number): void {
    this.#membership.recover(epoch);
  }

  arbiterReplied(reply: Reply): void {
    const settled = this.#membership.receive(reply);
    if (settled === undefined || this.#phase !== 'claiming') return;
    const now = this.#ports.clock.now();
    if (settled.operation.kind === 'claim' && settled.granted) return this.#goLive(now);
    if (this.#isEligible()) return this.#proceed(now);
    const { record } = this.#membership;
    const who = record.live?.host ?? 'nobody';
    const text = `not eligible at generation ${record.generation}: ${who} is live`;
    this.#end({ kind: 'lost-claim', text });
  }

  #goLive(now: Micros): void {
    this.#phase = 'live';
    const estate = {
      replayer: this.#replayer!,
      gate: this.#gate,
      ledger: this.#ledger,
      membership: this.#membership,
      clock: this.#clock,
      entropyOwed: this.#entropyOwed,
      nextCopyRequest: this.#target.nextRequest,
      lost: this.#lost!,
      typed: this.#typed,
    };
    this.primary = goLive(this.#options, this.#ports, estate, now);
    this.#send({ kind: 'claimed', generation: this.#membership.record.generation });
    this.#link?.close();
    this.#link = undefined;
  }

  #end(ended: Ended): void {
    if (this.ended !== undefined) return;
    this.#link?.close();
    this.#link = undefined;
    this.#phase = 'ended';
    this.ended = ended;
    this.#ports.report({ kind: 'ended', ended });
  }
}
