/**
 * How a live machine gains a shadow, loses it, and hands itself over: the primary's membership.
 *
 *            attach            ready, caught up      acknowledged       granted
 *   alone -----------> starting -------------> closing ---------> enlisting ------> protected
 *     ^                   |  lost                 | lost              | lost            |
 *     |<------------------+<----------------------+                   v                 v lost
 *     |<---- granted -------------------------------------------- parting <-------------+
 *     |                                                               ^ no answer       | consent
 *     +--- refused: somebody else is live ---> ended <--- claimed --- consented <-------+
 *
 * From: links, the arbiter's replies, the operator. To: the output gate and the arbiter. Invariant:
 * from `enlisting` to the end of `parting` a shadow may be eligible at the arbiter, and the gate is
 * closed. Everything is driven by `tick` and by messages; nothing here waits.
 */
import { assert } from '../base/assert.ts';
import { MalformedBytes } from '../base/bytes.ts';
import type { Output, Ticks } from '../machine/effects.ts';
import type { Machine } from '../machine/machine.ts';
import { type Member, type Reply, sameMember, type VmRecord } from './arbiter.ts';
import type { DiskShape } from './disk-ledger.ts';
import { type Greeting, judge, refuse } from './greeting.ts';
import type { Membership, Settled } from './membership.ts';
import { decodeMessage, encodeMessage, typedSince } from './messages.ts';
import type { OutputGate } from './output-gate.ts';
import type { Channel, DiskCompletion, Link, Micros, Ports } from './ports.ts';
import type { Batch, Recorder } from './recorder.ts';
import { type SessionFailure, ShadowSession } from './shadow-session.ts';
import type { Ended, FtStatus, ShadowReason, Protection as Wanted } from './status.ts';
import { timing } from './timing.ts';

export type Phase =
  | 'alone'
  | 'starting'
  | 'closing'
  | 'enlisting'
  | 'protected'
  | 'parting'
  | 'consented'
  | 'stopping'
  | 'ended';

/** The parts of the primary that its protection acts on. */
export interface Guarded {
  readonly machine: Machine;
  readonly recorder: Recorder;
  readonly gate: OutputGate;
  /** Records progress now. @returns its position */
  flush(now: Micros): number;
  emit(outputs: readonly Output[]): void;
  /** A batch of the log, for whoever records it. */
  recorded(batch: Batch): void;
  hostTicks(now: Micros): Ticks;
  /** Console bytes in the log; undefined: nobody knows. */
  readonly typedBytes: number | undefined;
  /** No request is under way on a disk that the other copy would write, too. */
  sharedDisksQuiet(): boolean;
}

type Goal = 'hand-over' | 'suspend' | 'turn-off' | undefined;

export class Protection {
  readonly #vm: string;
  readonly #configuration: Uint8Array;
  readonly #guarded: Guarded;
  readonly #ports: Ports;
  readonly #disks: readonly DiskShape[];
  readonly #membership: Membership | undefined;
  #phase: Phase = 'alone';
  #session: ShadowSession | undefined;
  #goal: Goal;
  /** The machine stands still: before a hand-over or a suspend, and until its outcome is known. */
  #frozen = false;
  /** Since when the machine is only to come near to its shadow before it is frozen. */
  #nearingSince: Micros | undefined;
  #nearingMicros: Micros = 0;
  /** The name of the saved state, once it is durable. */
  #saved: string | undefined;
  #closingPosition = 0;
  #consentedAt: Micros = 0;
  #stopAskedAt: Micros | undefined;
  #reason: ShadowReason = 'initializing';
  #alarmed = false;
  #nextCopyRequest = 0;
  wanted: Wanted = 'enabled';
  ended: Ended | undefined;

  constructor(
    vm: string,
    configuration: Uint8Array,
    guarded: Guarded,
    ports: Ports,
    disks: readonly DiskShape[],
    membership: Membership | undefined,
    firstCopyRequest: number,
  ) {
    this.#vm = vm;
    this.#configuration = configuration;
    this.#guarded = guarded;
    this.#ports = ports;
    this.#disks = disks;
    this.#membership = membership;
    this.#nextCopyRequest = firstCopyRequest;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get session(): ShadowSession | undefined {
    return this.#session;
  }

  /** A hand-over stops the machine for as long as its shadow lags, so it lets that catch up first. */
  get isNearing(): boolean {
    return this.#goal === 'hand-over' && this.#nearingSince !== undefined && !this.#frozen;
  }

  /** Whether the machine may run at all; flow control has its own say. */
  get mayRun(): boolean {
    return !this.#frozen && this.ended === undefined && this.#session?.sender.full !== true;
  }

  get lag(): Micros {
    return this.#session?.sender.lag(this.#ports.clock.now()) ?? 0;
  }

  /** Frozen for a suspend, everything released: the host may save the machine now, once. */
  get quiet(): boolean {
    return this.#saved === undefined && this.#standsStill();
  }

  #standsStill(): boolean {
    if (this.#goal !== 'suspend' || !this.#frozen || this.ended !== undefined) return false;
    // A shadow that is being made would share the machine's checkpoint with the saved state.
    return (this.#phase === 'alone' || this.#phase === 'protected') && this.#drained();
  }

  // --- links ---------------------------------------------------------------------------------

  attach(link: Link): Channel {
    const guard = (act: () => void) => {
      try {
        act();
      } catch (error) {
        if (!(error instanceof MalformedBytes)) throw error;
        link.close(error.message);
        if (this.#session?.link === link) this.#session.linkClosed(this.#now());
      }
    };
    return {
      receive: (message) => guard(() => this.#receive(link, message)),
      closed: () => {
        if (this.#session?.link === link) this.#session.linkClosed(this.#now());
      },
    };
  }

  #receive(link: Link, bytes: Uint8Array): void {
    const message = decodeMessage(bytes);
    if (message.kind === 'hello') {
      const greeting = judge(message, this.#vm, this.#configuration);
      if ('code' in greeting) return refuse(link, greeting);
      return this.#greet(link, greeting);
    }
    const session = this.#session;
    if (session === undefined || session.link !== link) return;
    const now = this.#now();
    session.receive(message, this.#guarded.machine, now);
    if (message.kind === 'ack') this.#acknowledged(session);
    if (message.kind === 'ping') session.sender.heartbeat(this.#released(), now);
    this.#advance(now);
  }

  #greet(link: Link, { version, body: hello }: Greeting): void {
    const now = this.#now();
    if (this.ended !== undefined) return refuse(link, { code: 'off', text: this.ended.text });
    const member = { host: hello.host, process: hello.process };
    const session = this.#session;
    if (this.#membership === undefined)
      return refuse(link, { code: 'busy', text: 'this machine has no arbiter' });
    const welcome = { kind: 'welcome', version, ...this.#membership.member } as const;
    if (session !== undefined && sameMember(session.member, member)) {
      if (this.#phase === 'parting' || !session.canResume(hello.received)) {
        return refuse(link, { code: 'stale', text: 'too late to resume' });
      }
      link.send(encodeMessage({ ...welcome, resumed: true }));
      session.resume(link, hello.received!, this.#released(), now);
      this.#repeatAfterResume(session);
      this.#ports.report({ kind: 'link-resumed', position: hello.received! });
      return;
    }
    if (this.#phase !== 'alone' || this.#goal !== undefined) {
      return refuse(link, { code: 'busy', text: 'another shadow is here, or leaving' });
    }
    if (hello.received !== undefined)
      return refuse(link, { code: 'stale', text: 'start with a checkpoint' });
    link.send(encodeMessage({ ...welcome, resumed: false }));
    this.#start(link, member, version, now);
  }

  /** The checkpoint at a logged position; the log goes on beside it. */
  #start(link: Link, member: Member, version: number, now: Micros): void {
    const { recorder, machine } = this.#guarded;
    this.#guarded.flush(now);
    const position = recorder.note({ kind: 'checkpoint', id: recorder.nextPosition });
    const taken = recorder.take();
    if (taken !== undefined) this.#guarded.recorded(taken);
    recorder.listening = true;
    const typed = version >= typedSince ? this.#guarded.typedBytes : undefined;
    const session = new ShadowSession(
      link,
      member,
      machine,
      position,
      this.#guarded.hostTicks(now),
      this.#ports,
      this.#disks,
      this.#nextCopyRequest,
      typed,
    );
    this.#session = session;
    this.#phase = 'starting';
    const pauseMicros = this.#now() - now;
    this.#ports.report({ kind: 'shadow-started', position, pauseMicros });
  }

  /** What the old link may have swallowed. */
  #repeatAfterResume(session: ShadowSession): void {
    const record = this.#membership!.record;
    if (this.#phase === 'protected' || this.#phase === 'consented') {
      const { epoch, generation } = record;
      session.send({ kind: 'eligible', epoch, generation });
    }
    if (this.#phase === 'consented') {
      session.send({ kind: 'consent', position: session.sender.lastPosition });
    }
  }

  /** A batch of the log, to the shadow if there is one. */
  /** @param work for how long the primary has executed */
  send(batch: Batch, work: Micros, now: Micros): void {
    this.#session?.sender.send(batch, this.#released(), work, now);
  }

  #acknowledged(session: ShadowSession): void {
    const { gate } = this.#guarded;
    // Only a shadow that may become or is eligible counts; in `starting` the gate is open anyway.
    if (!gate.closed) return;
    this.#guarded.emit(gate.release(session.sender.acknowledgedPosition, this.#now()));
  }

  diskDone(completion: DiskCompletion): void {
    this.#session?.diskDone(completion);
  }

  // --- the course of things ------------------------------------------------------------------

  /** @returns when to be called again */
  tick(now: Micros): Micros {
    if (this.ended !== undefined) return Number.POSITIVE_INFINITY;
    const asked = this.#membership?.tick(now) ?? Number.POSITIVE_INFINITY;
    this.#watchArbiter(now);
    if (this.#saved !== undefined && this.#standsStill()) this.stop('suspended', now);
    const sessionWake = this.#session?.tick(this.#released(), now) ?? Number.POSITIVE_INFINITY;
    this.#advance(now);
    if (this.ended !== undefined) return Number.POSITIVE_INFINITY;
    const stopWait = this.#stopAskedAt === undefined ? Number.POSITIVE_INFINITY : now + 10_000;
    return Math.min(asked, sessionWake, stopWait);
  }

  /** The last position whose outputs have all left; with the gate open that is all of them. */
  #released(): number {
    const { gate } = this.#guarded;
    return gate.closed ? gate.releasedPosition : (this.#session?.sender.lastPosition ?? 0);
  }

  #advance(now: Micros): void {
    const session = this.#session;
    if (session?.failure !== undefined && this.#phase !== 'parting')
      this.#lose(session.failure, now);
    switch (this.#phase) {
      case 'starting':
        if (session!.ready && this.lag < timing.caughtUpMicros) {
          this.#guarded.gate.close();
          this.#closingPosition = this.#guarded.flush(now);
          this.#phase = 'closing';
        }
        return;
      case 'closing':
        // An order to suspend may be asking whether the arbiter is there.
        if (this.#membership!.pending !== undefined) return;
        if (session!.sender.acknowledgedPosition >= this.#closingPosition) {
          this.#phase = 'enlisting';
          this.#membership!.ask({ kind: 'makeEligible', shadow: session!.member }, now);
        }
        return;
      case 'protected':
        if (this.#goal === 'turn-off') return this.#part(now);
        if (this.#goal === 'hand-over' && this.#isNear(now)) this.#frozen = true;
        if (this.#goal === 'hand-over' && this.#frozen && this.#drained()) {
          this.#phase = 'consented';
          this.#consentedAt = now;
          session!.send({ kind: 'consent', position: session!.sender.lastPosition });
        }
        return;
      case 'consented':
        if (session!.claimed !== undefined) {
          return this.#end({ kind: 'handed-over', text: 'the shadow has taken over' });
        }
        if (now - this.#consentedAt >= timing.consentMicros) this.#part(now);
        return;
      case 'parting':
        if (this.#membership!.pending === undefined)
          this.#membership!.ask({ kind: 'goAlone' }, now);
        return;
      default:
        return;
    }
  }

  /** The shadow is gone, or this copy does not want it any more. */
  #lose(failure: SessionFailure, now: Micros): void {
    this.#reason = failure.reason;
    if (failure.divergence !== undefined) {
      const own = this.#guarded.recorder.recent.text();
      this.#ports.report({ kind: 'divergence', divergence: failure.divergence, own });
    }
    this.#ports.report({ kind: 'need-shadow', reason: failure.reason, text: failure.text });
    const mayBeEligible = this.#phase !== 'starting' && this.#phase !== 'closing';
    if (this.#phase === 'stopping') return this.#dropSession();
    if (!mayBeEligible) return this.#goAlone();
    this.#dropSession();
    this.#part(now);
  }

  /** Takes eligibility away at the arbiter; the gate stays closed until that is certain. */
  #part(now: Micros): void {
    assert(this.#guarded.gate.closed, 'a shadow was eligible behind an open gate');
    if (this.#goal === 'hand-over') {
      this.#goal = undefined;
      if (this.#phase !== 'consented') this.#frozen = false;
      this.#ports.report({ kind: 'hand-over-refused', text: 'the shadow did not take over' });
    }
    this.#phase = 'parting';
    if (this.#membership!.pending === undefined) this.#membership!.ask({ kind: 'goAlone' }, now);
  }

  #dropSession(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#nextCopyRequest = session.nextCopyRequest;
    session.end();
    this.#session = undefined;
  }

  /** No shadow is eligible: the gate opens. */
  #goAlone(): void {
    if (this.#session?.link !== undefined) {
      refuse(this.#session.link, { code: 'dismissed', text: 'the primary goes on alone' });
    }
    this.#dropSession();
    if (this.#goal === 'turn-off') this.#goal = undefined;
    this.#phase = 'alone';
    if (this.#goal !== 'suspend') this.#frozen = false;
    this.#guarded.emit(this.#guarded.gate.open());
  }

  #drained(): boolean {
    const { recorder, gate } = this.#guarded;
    if (recorder.listening && recorder.behind) return false;
    if (gate.length > 0 || !this.#guarded.sharedDisksQuiet()) return false;
    const session = this.#session;
    if (session === undefined) return this.#phase === 'alone';
    return session.sender.acknowledgedPosition === session.sender.lastPosition;
  }

  // --- the arbiter ---------------------------------------------------------------------------

  arbiterReplied(reply: Reply): void {
    const settled = this.#membership?.receive(reply);
    if (settled === undefined || this.ended !== undefined) return;
    const now = this.#now();
    if (!this.#amLive()) {
      if (settled.operation.kind !== 'stop' || !settled.granted) {
        return this.superseded(this.#membership!.record);
      }
    }
    this.#settled(settled, now);
    this.#advance(now);
  }

  #settled({ operation, granted }: Settled, now: Micros): void {
    const { record } = this.#membership!;
    switch (operation.kind) {
      case 'makeEligible':
        if (this.#phase !== 'enlisting') return;
        if (!granted) {
          const text = 'the arbiter refused the shadow';
          this.#ports.report({ kind: 'need-shadow', reason: 'other', text });
          return this.#part(now);
        }
        this.#phase = 'protected';
        this.#session!.send({
          kind: 'eligible',
          epoch: record.epoch,
          generation: record.generation,
        });
        this.#ports.report({ kind: 'protected', generation: record.generation });
        return;
      case 'goAlone':
        // Refused although this copy is live: an ask before it was granted unseen. Ask once more.
        if (this.#phase !== 'parting') return;
        if (granted || record.eligibleShadow === undefined) this.#goAlone();
        return;
      case 'read':
        if (this.#goal === 'hand-over') this.#nearingSince ??= now;
        if (this.#goal === 'suspend') this.#freeze();
        return;
      case 'stop':
        if (!granted) return;
        return this.#end(
          operation.state === 'stopped'
            ? { kind: 'off', text: 'the machine is switched off' }
            : { kind: 'suspended', text: 'the machine is suspended' },
        );
      default:
        return;
    }
  }

  /** The arbiter's store is new or restored: tell it what this copy knows. */
  arbiterRecovers(epoch: number): void {
    this.#membership?.recover(epoch);
  }

  /** The arbiter has said that another copy is live. */
  superseded(record: VmRecord | undefined): void {
    if (this.ended !== undefined) return;
    const who = record?.live?.host ?? 'nobody';
    const text = `${who} is live since generation ${record?.generation ?? 0}`;
    this.#end({ kind: 'lost-claim', text });
  }

  #amLive(): boolean {
    const { record, member } = this.#membership!;
    return record.state === 'live' && sameMember(record.live, member);
  }

  #watchArbiter(now: Micros): void {
    const silent = this.#membership?.silentFor(now) ?? 0;
    if (silent >= timing.arbiterAlarmMicros && !this.#alarmed) {
      this.#alarmed = true;
      this.#ports.report({ kind: 'arbiter-unreachable', sinceMicros: now - silent });
      if (this.#goal === 'hand-over' && !this.#frozen) {
        this.#goal = undefined;
        const text = 'the arbiter does not answer';
        this.#ports.report({ kind: 'hand-over-refused', text });
      } else if (this.#goal === 'suspend' && !this.#frozen) {
        this.cancelSuspend('the arbiter does not answer');
      }
    } else if (silent === 0 && this.#alarmed) {
      this.#alarmed = false;
      this.#ports.report({ kind: 'arbiter-reachable' });
    }
  }

  // --- orders --------------------------------------------------------------------------------

  /**
   * Planned: maintenance, migration, test failover.
   * @param nearingMicros for how long the shadow may be waited for with the machine still running
   * @returns why not, if it is refused now
   */
  handOver(nearingMicros: Micros = timing.nearingMicros): string | undefined {
    if (this.#phase !== 'protected') return `there is no shadow to take over (${this.#phase})`;
    if (this.#goal !== undefined) return 'another order is being carried out';
    if (this.#membership!.pending !== undefined) return 'the arbiter has not answered yet';
    this.#goal = 'hand-over';
    this.#nearingSince = undefined;
    this.#nearingMicros = nearingMicros;
    // Whether the arbiter can be reached is found out before the machine is stopped.
    this.#membership!.ask({ kind: 'read' }, this.#now());
    return undefined;
  }

  /** Without a shadow from now on. */
  turnOff(): string | undefined {
    if (this.#goal !== undefined) return 'another order is being carried out';
    this.wanted = 'disabled';
    this.#reason = 'userAction';
    if (this.#phase === 'alone') return undefined;
    if (this.#phase === 'starting' || this.#phase === 'closing') this.#goAlone();
    else this.#goal = 'turn-off';
    return undefined;
  }

  /**
   * The machine goes on from a saved state, which is gone: the arbiter's record shall not name it any
   * longer than it takes to say so.
   */
  hasContinued(): void {
    if (this.#phase === 'alone') this.#membership?.ask({ kind: 'goAlone' }, this.#now());
  }

  /**
   * Stops the machine at a count; once `quiet`, the host saves it and calls `saved`, or gives up with
   * `cancelSuspend`. @returns why not, if it is refused now
   */
  suspend(): string | undefined {
    if (this.ended !== undefined) return this.ended.text;
    if (this.#goal !== undefined) return 'another order is being carried out';
    if (this.#membership === undefined) {
      this.#goal = 'suspend';
      this.#freeze();
      return undefined;
    }
    if (this.#membership.pending !== undefined) return 'the arbiter has not answered yet';
    this.#goal = 'suspend';
    // Whether the arbiter can be reached is found out before the machine is stopped.
    this.#membership.ask({ kind: 'read' }, this.#now());
    return undefined;
  }

  /** Near enough to be frozen, or not to be had any nearer. */
  #isNear(now: Micros): boolean {
    if (this.#nearingSince === undefined) return false;
    return this.lag <= timing.nearMicros || now - this.#nearingSince >= this.#nearingMicros;
  }

  #freeze(): void {
    this.#frozen = true;
    // A shadow that is not yet eligible is not worth waiting for.
    if (this.#phase === 'starting' || this.#phase === 'closing') this.#goAlone();
  }

  /** The machine and its disks are durable under this name: `tick` asks the arbiter to stop it. */
  saved(id: string): void {
    if (this.#goal === 'suspend') this.#saved = id;
  }

  /** The machine could not be saved: it goes on as if nothing had been. */
  cancelSuspend(text: string): void {
    if (this.#goal !== 'suspend' || this.#saved !== undefined) return;
    this.#goal = undefined;
    this.#frozen = false;
    this.#ports.report({ kind: 'suspend-refused', text });
  }

  /** The machine is off (or saved) and all it said has been released: tell the arbiter, then end. */
  stop(state: 'stopped' | 'suspended', now: Micros): void {
    if (this.ended !== undefined || this.#phase === 'stopping') return;
    if (this.#membership === undefined) {
      return this.#end({
        kind: state === 'stopped' ? 'off' : 'suspended',
        text: 'without arbiter',
      });
    }
    if (this.#membership.pending !== undefined || this.#phase === 'parting') return;
    const session = this.#session;
    this.#stopAskedAt ??= now;
    const enlisted = this.#phase === 'protected' || this.#phase === 'consented';
    const shadowAtEnd =
      session?.sender.executedPosition === this.#guarded.recorder.nextPosition - 1;
    // The shadow's replica counts only if it has come to the same end; worth a moment's wait.
    if (enlisted && !shadowAtEnd && now - this.#stopAskedAt < 1_000_000) return;
    const { host } = this.#membership.member;
    const both = enlisted && shadowAtEnd ? [host, session!.member.host] : [host];
    this.#phase = 'stopping';
    const saved = this.#saved === undefined ? {} : { saved: this.#saved };
    this.#membership.ask({ kind: 'stop', state, currentReplicas: both, ...saved }, now);
  }

  /**
   * A disk of this host fails. The shadow is to take over before the guest is told; but a guest that
   * was reset meanwhile goes on without the requests that failed, on a disk on which they are not,
   * while the shadow has carried them out on its own.
   * @param allAwaited the guest still waits for all that failed
   * @returns true when the guest has to be told, being alone
   */
  diskFails(allAwaited: boolean): boolean {
    const lose = (text: string): void =>
      this.#lose({ reason: 'partialHardwareFailure', text }, this.#now());
    switch (this.#phase) {
      case 'alone':
        return true;
      case 'starting':
      case 'closing':
        lose('a disk of the primary failed');
        return true;
      case 'enlisting':
      case 'protected':
        if (allAwaited) this.handOver(0);
        else lose('a disk of the primary failed, and the guest was reset before the hand-over');
        return false;
      default:
        return false;
    }
  }

  #end(ended: Ended): void {
    const link = this.#session?.link;
    if (link !== undefined) {
      const off = ended.kind === 'off' || ended.kind === 'suspended';
      refuse(link, { code: off ? 'off' : 'dismissed', text: ended.text });
    }
    this.#dropSession();
    this.#phase = 'ended';
    this.ended = ended;
    this.#ports.report({ kind: 'ended', ended });
  }

  status(): FtStatus {
    const { epoch, generation } = this.#membership?.record ?? { epoch: 0, generation: 0 };
    const state = this.#state();
    return {
      state,
      reason: state === 'needShadow' ? this.#reason : undefined,
      epoch,
      generation,
      shadow: this.#session?.member,
      lagMicros: this.lag,
      logBytesSent: this.#session?.sender.bytesSent ?? 0,
      logRoundTripMicros: this.#session?.sender.roundTripMicros,
      heldOutputs: this.#guarded.gate.length,
      gateDelays: this.#guarded.gate.delays.summary(this.#now()),
      arbiterSilentMicros: this.#membership?.silentFor(this.#now()),
    };
  }

  #state(): FtStatus['state'] {
    if (this.wanted !== 'enabled') return this.wanted;
    if (this.ended !== undefined) return 'enabled';
    switch (this.#phase) {
      case 'protected':
      case 'consented':
        return 'running';
      case 'starting':
      case 'closing':
      case 'enlisting':
        return 'starting';
      default:
        return 'needShadow';
    }
  }

  #now(): Micros {
    return this.#ports.clock.now();
  }
}
