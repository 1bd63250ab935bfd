/**
 * After a go-live: telling the LAN where the guest's addresses are now (DESIGN 6, 7).
 *
 * The learner is fed with the frames that the guest sends (on a shadow: with those it computed and
 * dropped), so that an announcement needs nothing from the guest. The announcer then gives the
 * frames of five rounds: gratuitous ARP (RFC 5227), RARP, unsolicited neighbour advertisement
 * (RFC 4861, 7.2.6), and a report of the groups in which neighbours ask for its IPv6 addresses
 * (RFC 3810). They leave through the VM's own port, as if the guest had sent them.
 *
 * Invariant: an address is announced only if the guest itself spoke for it: as the sender of an
 * ARP message or of a neighbour advertisement, or as a packet's source where nothing better is
 * known. A guest that routes for others sends packets from their addresses, which are not its own.
 */
import { buildGratuitousArp, buildRarp, parseArp } from './frames/arp.ts';
import {
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  isFrame,
  isGroupMac,
  sourceMac,
} from './frames/ethernet.ts';
import {
  buildUnsolicitedAdvertisement,
  ipv6Source,
  isUnicastIpv6,
  NEIGHBOUR_ADVERTISEMENT,
  parseNeighbour,
} from './frames/ipv6.ts';
import { buildGroupReport } from './frames/mld.ts';
import type { VmAddresses } from './trunk.ts';
import { copyBytes, type Ipv4, type Mac, read32, sameBytes } from './wire.ts';

const MACS_MAX = 8;
const ADDRESSES_MAX = 16;

interface Learned<Address> {
  /** Spoken for by the guest, latest last. */
  own: Address[];
  /** The latest source of a packet, used while `own` is empty. */
  seen: Address | undefined;
}

interface LearnedMac {
  readonly ipv4: Learned<Ipv4>;
  readonly ipv6: Learned<Uint8Array>;
}

/**
 * The most recent addresses stay: the list is bounded and the oldest falls out.
 * @returns whether the address is new in it
 */
function learn<A>(list: A[], address: A, same: (a: A, b: A) => boolean, most: number): boolean {
  if (list.length > 0 && same(list[list.length - 1]!, address)) return false;
  const known = list.findIndex((other) => same(other, address));
  if (known >= 0) list.splice(known, 1);
  list.push(address);
  if (list.length > most) list.shift();
  return known < 0;
}

const sameIpv4 = (a: Ipv4, b: Ipv4): boolean => a === b;

function isUsableIpv4(address: Ipv4): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

function addressesOf<A>(learned: Learned<A>): readonly A[] {
  if (learned.own.length > 0 || learned.seen === undefined) return learned.own;
  return [learned.seen];
}

export class AddressLearner {
  readonly #macs = new Map<Mac, LearnedMac>();
  #discoveries = 0;

  /** Grows whenever an address becomes known that was not: time to tell others. */
  get discoveries(): number {
    return this.#discoveries;
  }

  /** Takes one frame that the guest sent, of whatever content. */
  observe(frame: Uint8Array): void {
    if (!isFrame(frame)) return;
    const mac = sourceMac(frame);
    let learned = this.#macs.get(mac);
    if (learned === undefined) {
      if (isGroupMac(mac) || mac === 0 || this.#macs.size >= MACS_MAX) return;
      learned = { ipv4: { own: [], seen: undefined }, ipv6: { own: [], seen: undefined } };
      this.#macs.set(mac, learned);
    }
    switch (etherType(frame)) {
      case ETHERTYPE_IPV4:
        if (learned.ipv4.own.length === 0 && frame.length >= 34) {
          const source = read32(frame, 26);
          if (isUsableIpv4(source)) this.#see(learned.ipv4, source);
        }
        break;
      case ETHERTYPE_ARP: {
        const arp = parseArp(frame);
        if (arp?.senderMac === mac && isUsableIpv4(arp.senderIp)) {
          this.#hear(learned.ipv4.own, arp.senderIp, sameIpv4);
        }
        break;
      }
      case ETHERTYPE_IPV6:
        this.#observeIpv6(frame, learned.ipv6);
        break;
    }
  }

  #observeIpv6(frame: Uint8Array, learned: Learned<Uint8Array>): void {
    const message = parseNeighbour(frame);
    const own = message?.type === NEIGHBOUR_ADVERTISEMENT ? message.target : message?.source;
    if (own !== undefined) {
      // A solicitation from the unspecified address probes an address that is not yet its own.
      if (isUnicastIpv6(own)) this.#hear(learned.own, copyBytes(own), sameBytes);
    } else if (learned.own.length === 0) {
      const source = ipv6Source(frame);
      if (source !== undefined && isUnicastIpv6(source)) this.#see(learned, copyBytes(source));
    }
  }

  #hear<A>(own: A[], address: A, same: (a: A, b: A) => boolean): void {
    if (learn(own, address, same, ADDRESSES_MAX)) this.#discoveries++;
  }

  /** Only the first one is news: a guest that routes sends from many. */
  #see<A>(learned: Learned<A>, source: A): void {
    if (learned.seen === undefined) this.#discoveries++;
    learned.seen = source;
  }

  /** What is known, in the order in which the MACs were first seen. */
  addresses(): VmAddresses[] {
    return [...this.#macs].map(([mac, { ipv4, ipv6 }]) => ({
      mac,
      ipv4: [...addressesOf(ipv4)],
      ipv6: [...addressesOf(ipv6)],
    }));
  }

  /** Adds what another learner of the same VM knew: the primary tells its new shadow. */
  restore(addresses: readonly VmAddresses[]): void {
    for (const { mac, ipv4, ipv6 } of addresses.slice(0, MACS_MAX)) {
      this.#macs.set(mac, {
        ipv4: { own: ipv4.slice(-ADDRESSES_MAX), seen: undefined },
        ipv6: { own: ipv6.slice(-ADDRESSES_MAX), seen: undefined },
      });
    }
  }
}

/**
 * What two have learned of the same VM, each address once, the second one's last: a copy that has
 * just gone live, and all others before it.
 */
export function mergeAddresses(
  earlier: readonly VmAddresses[],
  later: readonly VmAddresses[],
): VmAddresses[] {
  const merged = new Map<Mac, { ipv4: Ipv4[]; ipv6: Uint8Array[] }>();
  for (const { mac, ipv4, ipv6 } of [...earlier, ...later]) {
    let known = merged.get(mac);
    if (known === undefined) {
      if (merged.size >= MACS_MAX) continue;
      known = { ipv4: [], ipv6: [] };
      merged.set(mac, known);
    }
    for (const address of ipv4) learn(known.ipv4, address, sameIpv4, ADDRESSES_MAX);
    for (const address of ipv6) learn(known.ipv6, address, sameBytes, ADDRESSES_MAX);
  }
  return [...merged].map(([mac, { ipv4, ipv6 }]) => ({ mac, ipv4, ipv6 }));
}

/** The frames of one round, for all addresses of a VM. */
export function announcementFrames(addresses: readonly VmAddresses[]): Uint8Array[] {
  return addresses.flatMap(({ mac, ipv4, ipv6 }) => [
    buildRarp(mac),
    ...ipv4.map((address) => buildGratuitousArp(mac, address)),
    ...ipv6.map((address) => buildUnsolicitedAdvertisement(mac, address)),
    ...(ipv6.length > 0 ? [buildGroupReport(mac, ipv6)] : []),
  ]);
}

/**
 * When the five rounds go out, after the go-live: the first at once, since clients wait for it, the
 * others further and further apart, for switches and peers that were busy or lost one.
 */
export const ANNOUNCEMENT_ROUNDS_US: readonly number[] = [0, 50_000, 200_000, 450_000, 800_000];

export class Announcer {
  readonly #frames: readonly Uint8Array[];
  readonly #startedAt: number;
  #round = 0;

  constructor(addresses: readonly VmAddresses[], now: number) {
    this.#frames = announcementFrames(addresses);
    this.#startedAt = now;
  }

  /** When `due` has frames again, or undefined after the last round. */
  get nextAt(): number | undefined {
    const offset = ANNOUNCEMENT_ROUNDS_US[this.#round];
    return offset === undefined ? undefined : this.#startedAt + offset;
  }

  /** The frames to send now; none if no round is due. Rounds that were missed are one round. */
  due(now: number): readonly Uint8Array[] {
    let next = this.nextAt;
    if (next === undefined || next > now) return [];
    while (next !== undefined && next <= now) {
      this.#round++;
      next = this.nextAt;
    }
    return this.#frames;
  }
}
