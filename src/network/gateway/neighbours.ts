/**
 * Who is at which address: the gateway's ARP table (RFC 826). Learned from every packet of a guest,
 * asked for when the gateway opens a connection to one it has not heard yet.
 */
import { ARP_REQUEST, buildArp } from '../frames/arp.ts';
import { type Ipv4, MAC_BROADCAST, type Mac } from '../wire.ts';
import type { Subnet } from './subnet.ts';

const NEIGHBOURS_MAX = 4096;
const ASK_INTERVAL_US = 200_000;
/** Announcements come in rounds and for every address: what was sent again rests this long. */
const MOVE_INTERVAL_US = 20_000;

/** Streams keep a reference, so that a move changes where their next segment goes. */
export interface Neighbour {
  readonly address: Ipv4;
  mac: Mac | undefined;
  /** TCP connections of this guest, for its share of the table. */
  connections: number;
  askedAt: number;
  movedAt: number;
}

export class Neighbours {
  readonly #mac: Mac;
  readonly #subnet: Subnet;
  readonly #send: (frame: Uint8Array) => void;
  readonly #byAddress = new Map<Ipv4, Neighbour>();

  constructor(mac: Mac, subnet: Subnet, send: (frame: Uint8Array) => void) {
    this.#mac = mac;
    this.#subnet = subnet;
    this.#send = send;
  }

  /** The entry of a guest's address, made if needed; undefined if it can be no guest's. */
  get(address: Ipv4): Neighbour | undefined {
    const known = this.#byAddress.get(address);
    if (known !== undefined) return known;
    if (!this.#subnet.isGuest(address) || this.#byAddress.size >= NEIGHBOURS_MAX) return undefined;
    const never = Number.NEGATIVE_INFINITY;
    const fresh = { address, mac: undefined, connections: 0, askedAt: never, movedAt: never };
    this.#byAddress.set(address, fresh);
    return fresh;
  }

  /** @returns the entry if this was news, so that what waits for it can go */
  learn(address: Ipv4, mac: Mac): Neighbour | undefined {
    const neighbour = this.get(address);
    if (neighbour === undefined || neighbour.mac === mac) return undefined;
    neighbour.mac = mac;
    return neighbour;
  }

  /** Asks the LAN, but not again and again. */
  ask(neighbour: Neighbour, now: number): void {
    if (now - neighbour.askedAt < ASK_INTERVAL_US) return;
    neighbour.askedAt = now;
    this.#send(
      buildArp(MAC_BROADCAST, {
        operation: ARP_REQUEST,
        senderMac: this.#mac,
        senderIp: this.#subnet.gateway,
        targetMac: 0,
        targetIp: neighbour.address,
      }),
    );
  }

  /** An announcement of this MAC: its addresses that have not just been handled. */
  moved(mac: Mac, now: number): Neighbour[] {
    const all = [...this.#byAddress.values()].filter(
      (neighbour) => neighbour.mac === mac && now - neighbour.movedAt >= MOVE_INTERVAL_US,
    );
    for (const neighbour of all) neighbour.movedAt = now;
    return all;
  }

  forget(address: Ipv4): void {
    this.#byAddress.delete(address);
  }
}
