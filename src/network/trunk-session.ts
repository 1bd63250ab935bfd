/**
 * One end of a trunk: a switch on this side, a byte stream (TLS, the host's affair) on the other.
 *
 * Out: frames that the switch delivers to the trunk's port, announcements, pings; all into `batch`,
 * which the host writes to the stream after each of its turns. In: chunks of the stream; frames go
 * to the switch, announcements move places in it and are told to the owner.
 *
 * Invariant: nothing but a `hello` of the right version and name is taken first. Whatever is wrong
 * throws out of `receive` (`MalformedBytes`, `UmbraError`); the host then ends the stream, calls
 * `close`, and begins anew. A new trunk knows nothing of what was announced on the old one, so the
 * host announces its live VMs on it first.
 */
import { MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { RecentLeast } from '../base/recent-least.ts';
import { FrameBatch, FrameDecoder } from './framing.ts';
import type { Port, PortGeneration, Switch, VmNumber } from './switch.ts';
import {
  addTrunkFrame,
  decodeTrunkMessage,
  encodeTrunkMessage,
  TRUNK_MESSAGE_BYTES_MAX,
  type TrunkAnnouncement,
  type VmAddresses,
} from './trunk.ts';

export interface TrunkOptions {
  /** Our name in the cluster. */
  readonly name: string;
  /** The peer's name, as its certificate says. */
  readonly peerName: string;
  /** Called for each announcement that the switch has accepted; the gateway sends again then. */
  readonly announced?: (announcement: TrunkAnnouncement) => void;
}

/** Microseconds, as all times here. */
const ROUND_TRIP_WINDOW_US = 5_000_000;

export class TrunkSession {
  /** What waits to be written. The host takes it when the stream can take more; it drops beyond. */
  readonly batch: FrameBatch;
  readonly #switch: Switch;
  readonly #options: TrunkOptions;
  readonly #port: Port;
  readonly #decoder = new FrameDecoder(TRUNK_MESSAGE_BYTES_MAX);
  #greeted = false;
  #heardAt: number;
  #pings = 0;
  /** When the newest ping was made; the answer to an older one is not measured. */
  #pingedAt = 0;
  readonly #roundTrips = new RecentLeast(ROUND_TRIP_WINDOW_US);

  constructor(local: Switch, options: TrunkOptions, now: number, batchBytesMax?: number) {
    this.#switch = local;
    this.#options = options;
    this.#heardAt = now;
    this.batch = new FrameBatch(batchBytesMax);
    this.batch.addAlways(encodeTrunkMessage({ kind: 'hello', name: options.name }));
    this.#port = local.addTrunk({
      deliver: (vm, generation, frame) => addTrunkFrame(this.batch, vm, generation, frame),
    });
  }

  /** The switch's port for this trunk, for `place`. */
  get port(): Port {
    return this.#port;
  }

  /** Whether the peer has said hello. */
  get isOpen(): boolean {
    return this.#greeted;
  }

  /** When the peer was last heard; the host ends a trunk that is silent despite pings. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** The least lately from a ping to its pong, in microseconds; undefined before the first. */
  get roundTripUs(): number | undefined {
    return this.#roundTrips.value;
  }

  /** A chunk of the stream, cut anywhere. */
  receive(chunk: Uint8Array, now: number): void {
    this.#heardAt = now;
    this.#decoder.push(chunk, (bytes) => this.#message(bytes, now));
  }

  #message(bytes: Uint8Array, now: number): void {
    const message = decodeTrunkMessage(bytes);
    if (!this.#greeted && message.kind !== 'hello') {
      throw new MalformedBytes(`${message.kind} before hello`);
    }
    switch (message.kind) {
      case 'hello':
        this.#greet(message.name);
        break;
      case 'frame':
        this.#switch.receiveFromTrunk(
          this.#port,
          message.vm,
          message.generation,
          message.frame,
          now,
        );
        break;
      case 'announcement': {
        const { vm, generation, addresses } = message;
        const macs = addresses.map(({ mac }) => mac);
        if (this.#switch.place(vm, generation, macs, this.#port, now)) {
          this.#options.announced?.(message);
        }
        break;
      }
      case 'ping':
        this.batch.addAlways(encodeTrunkMessage({ kind: 'pong', number: message.number }));
        break;
      case 'pong':
        if (message.number === this.#pings - 1) this.#roundTrips.add(now - this.#pingedAt, now);
        break;
    }
  }

  #greet(name: string): void {
    if (this.#greeted) throw new MalformedBytes('hello twice');
    if (name !== this.#options.peerName) {
      throw new UmbraError(
        'trunk-name',
        `The peer calls itself ${name}, its certificate ${this.#options.peerName}.`,
        'Join the host to the cluster again, so that it gets a certificate of its name.',
      );
    }
    this.#greeted = true;
  }

  /** The VM is here now: told to the peer at once, ahead of the frames that say so to the LAN. */
  announce(vm: VmNumber, generation: PortGeneration, addresses: readonly VmAddresses[]): void {
    this.batch.addAlways(encodeTrunkMessage({ kind: 'announcement', vm, generation, addresses }));
  }

  ping(now: number): void {
    this.#pingedAt = now;
    this.batch.addAlways(encodeTrunkMessage({ kind: 'ping', number: this.#pings++ }));
  }

  /** The stream has ended: the switch forgets the trunk and every place behind it. */
  close(): void {
    this.#switch.remove(this.#port);
  }
}
