/**
 * One trunk: a TLS socket on one side, a trunk session on the switch on the other.
 *
 * The peer's certificate has been checked by whoever made this; the session compares it with the
 * name in the peer's hello. Whatever the peer sends wrong ends the trunk, never the daemon.
 */
import type { TLSSocket } from 'node:tls';
import { MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import type { Port } from '../network/switch.ts';
import type { TrunkAnnouncement } from '../network/trunk.ts';
import { TrunkSession } from '../network/trunk-session.ts';
import { nowUs } from './clock.ts';
import type { Ethernet } from './ethernet.ts';

export interface TrunkOwner {
  readonly ethernet: Ethernet;
  readonly name: string;
  readonly peerName: string;
  readonly announced: (announcement: TrunkAnnouncement) => void;
  /** The peer has said hello. */
  readonly opened: () => void;
  readonly ended: (why: string) => void;
}

export class Trunk {
  readonly #socket: TLSSocket;
  readonly #owner: TrunkOwner;
  readonly #session: TrunkSession;
  #closed = false;

  constructor(socket: TLSSocket, owner: TrunkOwner) {
    this.#socket = socket;
    this.#owner = owner;
    const { ethernet, name, peerName, announced } = owner;
    this.#session = new TrunkSession(ethernet.switch, { name, peerName, announced }, nowUs());
    socket.setNoDelay(true);
    ethernet.connect(socket, this.#session.batch);
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('the peer has closed it'));
  }

  get port(): Port {
    return this.#session.port;
  }

  get heardAt(): number {
    return this.#session.heardAt;
  }

  tell({ vm, generation, addresses }: TrunkAnnouncement): void {
    this.#session.announce(vm, generation, addresses);
  }

  /** Microseconds; undefined: not known yet. */
  get roundTripUs(): number | undefined {
    return this.#session.roundTripUs;
  }

  ping(now: number): void {
    this.#session.ping(now);
  }

  /** Forgets the peer's places at once; the owner is not called. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#session.close();
    this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    const wasOpen = this.#session.isOpen;
    try {
      this.#owner.ethernet.turn((now) => this.#session.receive(chunk, now));
    } catch (error) {
      if (!(error instanceof MalformedBytes || error instanceof UmbraError)) throw error;
      this.#end(error.message);
      return;
    }
    if (!wasOpen && this.#session.isOpen) this.#owner.opened();
  }

  #end(why: string): void {
    if (!this.#closed) this.#owner.ended(why);
  }
}
