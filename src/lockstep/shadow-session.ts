/**
 * The primary's dealings with one shadow process: from its checkpoint to its last acknowledgement.
 *
 * From: the shadow's messages. To: the log sender, the checkpoint, the replica source; and to
 * protection.ts, which reads what has come of it (`ready`, `claimed`, `failure`) and decides. A
 * session outlives its link: a link that flaps is resumed where the acknowledgements stand.
 */
import { MalformedBytes } from '../base/bytes.ts';
import type { Ticks } from '../machine/effects.ts';
import type { Checkpoint, Machine } from '../machine/machine.ts';
import type { Member } from './arbiter.ts';
import { type DiskShape, keyOf } from './disk-ledger.ts';
import { LogSender } from './log-sender.ts';
import { encodeMessage, type Message } from './messages.ts';
import type { DiskCompletion, Link, Micros, Ports } from './ports.ts';
import { ReplicaSource } from './replica-source.ts';
import type { Divergence, ShadowReason } from './status.ts';
import { timing } from './timing.ts';

const chunkBytes = 64 * 1024;
const chunksUnderWayMax = 8;

export interface SessionFailure {
  readonly reason: ShadowReason;
  readonly text: string;
  readonly divergence?: Divergence;
}

export class ShadowSession {
  readonly member: Member;
  readonly sender: LogSender;
  readonly #source: ReplicaSource;
  readonly #building: boolean;
  #link: Link | undefined;
  #heardAt: Micros;
  /** It was silent for too long at the last turn. */
  #doubted = false;
  #closedAt: Micros = 0;
  #checkpoint: Checkpoint | undefined;
  #chunksSent = 0;
  #chunksAcknowledged = 0;
  /** Requests whose completions carry data although the replica is whole; undefined: all do. */
  #carried: ReadonlySet<string> | undefined;
  /** The shadow has its machine and whole replicas. */
  ready = false;
  /** The generation that the shadow has taken, by consent. */
  claimed: number | undefined;
  failure: SessionFailure | undefined;

  /** Sends the beginning of the checkpoint; the log goes on at `position + 1`. */
  constructor(
    link: Link,
    member: Member,
    machine: Machine,
    position: number,
    ticks: Ticks,
    ports: Ports,
    disks: readonly DiskShape[],
    firstCopyRequest: number,
    typed: number | undefined,
  ) {
    this.member = member;
    this.#link = link;
    this.#building = disks.some(({ shared }) => !shared);
    this.#heardAt = ports.clock.now();
    this.sender = new LogSender(position);
    this.#source = new ReplicaSource(ports.disks, disks, ports.blockHash, firstCopyRequest);
    this.#checkpoint = machine.checkpoint();
    this.#send({ kind: 'checkpoint-begin', position, ticks });
    if (typed !== undefined) this.#send({ kind: 'typed', bytes: typed });
    this.sender.resume(link, position, position, this.#heardAt);
  }

  get link(): Link | undefined {
    return this.#link;
  }

  /** The checkpoint has not been copied out of the machine yet. */
  get copying(): boolean {
    return this.#checkpoint !== undefined;
  }

  get nextCopyRequest(): number {
    return this.#source.nextRequest;
  }

  /** Whether the completion of a request must carry its data for this shadow. */
  carries(disk: number, request: number): boolean {
    if (!this.#building) return false;
    return this.#carried === undefined || this.#carried.has(keyOf(disk, request));
  }

  receive(message: Message, machine: Machine, now: Micros): void {
    // Whoever was frozen finds acknowledgements from before its shadow went live; what they would
    // release is old by now.
    if (this.ready && now - this.#heardAt >= timing.primarySilenceMicros) {
      return this.#lost('nothing was heard for so long that the shadow may be live');
    }
    this.#heardAt = now;
    this.#doubted = false;
    switch (message.kind) {
      case 'ack':
        return this.sender.acknowledged(message, now);
      case 'ping':
        return;
      case 'checkpoint-ack':
        this.#chunksAcknowledged = Math.min(message.chunks, this.#chunksSent);
        return;
      case 'blocks-ask':
        return this.#source.asked(message);
      case 'ready':
        if (this.ready || this.#checkpoint !== undefined) return;
        this.ready = true;
        this.#carried = new Set(
          machine.pendingDiskRequests().map(({ disk, request }) => keyOf(disk, request)),
        );
        return;
      case 'claimed':
        this.claimed = message.generation;
        return;
      case 'divergence': {
        const { divergence } = message;
        const text = `the shadow diverged at entry ${divergence.position}`;
        this.failure = { reason: 'divergence', text, divergence };
        return;
      }
      case 'disk-failed': {
        const text = `disk ${message.disk} of the shadow failed`;
        this.failure = { reason: 'partialHardwareFailure', text };
        return;
      }
      case 'refuse':
        this.failure = { reason: 'other', text: message.text };
        return;
      default:
        throw new MalformedBytes(`a shadow does not send ${message.kind}`);
    }
  }

  diskDone(completion: DiskCompletion): void {
    const result = this.#source.diskDone(completion);
    if (result === 'failed') {
      const text = `disk ${completion.disk} of the primary could not be copied`;
      this.failure = { reason: 'partialHardwareFailure', text };
    } else if (result !== undefined) this.#send(result);
  }

  /** Keeps the checkpoint and the heartbeat going. @returns when to be called again */
  tick(releasedPosition: number, now: Micros): Micros {
    if (this.failure !== undefined) return Number.POSITIVE_INFINITY;
    if (this.#link === undefined) {
      const until = this.#closedAt + timing.shadowReconnectMicros;
      if (now >= until) this.#lost('the log channel closed');
      return until;
    }
    const silence = this.ready ? timing.shadowSilenceMicros : timing.greetingMicros;
    if (now - this.#heardAt >= silence) {
      // A primary that was late itself finds only now, between two turns, what has come meanwhile.
      if (this.#doubted) this.#lost('the shadow is silent');
      this.#doubted = true;
      return now;
    }
    const more = this.#sendChunks();
    if (now - this.sender.sentAt >= timing.heartbeatMicros) {
      this.sender.heartbeat(releasedPosition, now);
    }
    if (more) return now;
    return Math.min(this.sender.sentAt + timing.heartbeatMicros, this.#heardAt + silence);
  }

  linkClosed(now: Micros): void {
    this.#link = undefined;
    this.#closedAt = now;
    this.sender.detach();
    // What a half-sent checkpoint lacks cannot be told: a new process starts over.
    if (this.#checkpoint !== undefined) this.#lost('the log channel closed during the checkpoint');
  }

  canResume(received: number | undefined): boolean {
    if (received === undefined || this.#checkpoint !== undefined) return false;
    return this.failure === undefined && this.sender.canResume(received);
  }

  /** The same process on a new link; `welcome` has been sent. */
  resume(link: Link, received: number, releasedPosition: number, now: Micros): void {
    this.#link?.close();
    this.#link = link;
    this.#heardAt = now;
    this.#doubted = false;
    this.sender.resume(link, received, releasedPosition, now);
    this.sender.heartbeat(releasedPosition, now);
  }

  send(message: Message): void {
    this.#send(message);
  }

  end(): void {
    this.#checkpoint?.cancel();
    this.#checkpoint = undefined;
    this.sender.detach();
    this.#link?.close();
    this.#link = undefined;
  }

  /** A few chunks at a time: the guest runs in between. @returns whether more could be sent now */
  #sendChunks(): boolean {
    for (let sent = 0; sent < 2; sent++) {
      if (this.#checkpoint === undefined) return false;
      if (this.#chunksSent - this.#chunksAcknowledged >= chunksUnderWayMax) return false;
      const bytes = this.#checkpoint.next(chunkBytes);
      if (bytes === undefined) {
        this.#checkpoint = undefined;
        this.#send({ kind: 'checkpoint-end' });
        return false;
      }
      this.#chunksSent++;
      this.#send({ kind: 'checkpoint-chunk', bytes });
    }
    return true;
  }

  #send(message: Message): void {
    this.#link?.send(encodeMessage(message));
  }

  #lost(text: string): void {
    this.failure ??= { reason: 'lostConnection', text };
  }
}
