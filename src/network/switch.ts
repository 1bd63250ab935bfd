/**
 * The learning Ethernet switch in each host daemon and in the gateway's process.
 *
 * Frames come from local ports (VM processes, the gateway's stack), from trunks (the switches of
 * the other hosts, a full mesh) and from an uplink (a real LAN); they go where their destination
 * was last seen, or everywhere. Like IEEE 802.1D learning and forwarding, with rules of its own
 * (DESIGN 7):
 *
 * - **No loops:** what came from a trunk or an uplink leaves by local ports only. In a full mesh
 *   one hop reaches all, and each frame enters the LAN once, through its own sender's host.
 * - **Nothing twice:** a broadcast reaches a neighbour by its trunk and by the LAN. What the LAN
 *   brings from an address that the cluster has is dropped: the trunk brings it too, with a
 *   generation that can be checked. Without that trunk the address is unknown, and the LAN serves.
 * - **Stale primaries are silent:** every port carries the generation of the VM behind it, and so
 *   does every frame on a trunk. The switch remembers the highest generation of each VM and drops
 *   whatever an older one sent, from a trunk and from a local port alike.
 * - **VLANs** (IEEE 802.1Q): a local port belongs to one VLAN or to none and its frames are plain;
 *   trunks and uplinks carry all VLANs, tagged. Addresses are learned in each VLAN by itself.
 */
import { assert } from '../base/assert.ts';
import {
  destinationMac,
  FRAME_BYTES_MAX,
  isFrame,
  isGroupMac,
  sourceMac,
} from './frames/ethernet.ts';
import {
  addTag,
  isTagged,
  isVlan,
  removeTag,
  VLAN_TAG_BYTES,
  type Vlan,
  vlanOf,
} from './frames/vlan.ts';
import type { Mac } from './wire.ts';

/** The number that the center gave the VM, 1 to 2^32 - 1; 0 is infrastructure, as the gateway. */
export type VmNumber = number;

/**
 * Epoch and generation at the arbiter as one number that can be compared: the epoch in the 21 bits
 * above the 32 of the generation, so that the sum is exact.
 */
export type PortGeneration = number;

export function portGeneration(epoch: number, generation: number): PortGeneration {
  assert(Number.isInteger(epoch) && epoch >= 0 && epoch < 2 ** 21, `no epoch: ${epoch}`);
  assert(
    Number.isInteger(generation) && generation >= 0 && generation < 2 ** 32,
    `no generation: ${generation}`,
  );
  return epoch * 2 ** 32 + generation;
}

/** The frame is valid until the call returns; whoever keeps it copies it. */
export interface PortSink {
  deliver(frame: Uint8Array): void;
}

export interface TrunkSink {
  /** Sends a frame to the peer switch, with the number and generation of the VM that sent it. */
  deliver(vm: VmNumber, generation: PortGeneration, frame: Uint8Array): void;
}

/** Where a MAC was seen. Made by `addPort`, `addUplink`, `addTrunk`; opaque to the caller. */
export interface Port {
  readonly kind: 'local' | 'uplink' | 'trunk';
  readonly vm: VmNumber;
  generation: PortGeneration;
}

interface LocalPort extends Port {
  readonly kind: 'local';
  readonly vlan: Vlan;
  readonly sink: PortSink;
}

interface UplinkPort extends Port {
  readonly kind: 'uplink';
  readonly sink: PortSink;
}

interface TrunkPort extends Port {
  readonly kind: 'trunk';
  readonly sink: TrunkSink;
}

type AnyPort = LocalPort | UplinkPort | TrunkPort;

interface Place {
  port: AnyPort;
  vm: VmNumber;
  seenAt: number;
}

export interface SwitchOptions {
  /** A learned place is forgotten when its MAC was not seen for this long (802.1D: 300 s). */
  readonly ageingUs?: number;
  /** Learned addresses; beyond it nothing is learned, so floods cannot exhaust memory. */
  readonly macsMax?: number;
}

export interface SwitchCounters {
  forwarded: number;
  flooded: number;
  malformed: number;
  stale: number;
  /** From an address that belongs to another VM. */
  spoofed: number;
  /** With a tag that its port may not send, or that means nothing. */
  mistagged: number;
  /** From the LAN, and on a trunk as well. */
  twice: number;
}

export class Switch {
  readonly counters: SwitchCounters = {
    forwarded: 0,
    flooded: 0,
    malformed: 0,
    stale: 0,
    spoofed: 0,
    mistagged: 0,
    twice: 0,
  };
  readonly #ageingUs: number;
  readonly #macsMax: number;
  readonly #locals: LocalPort[] = [];
  readonly #trunks: TrunkPort[] = [];
  #uplink: UplinkPort | undefined;
  /** Placed by the center or an announcement: no other VM may take the address by sending. */
  readonly #pinned = new Map<Mac, Place>();
  readonly #learned = new Map<Vlan, Map<Mac, Place>>();
  #learnedCount = 0;
  readonly #generations = new Map<VmNumber, PortGeneration>();

  constructor(options: SwitchOptions = {}) {
    this.#ageingUs = options.ageingUs ?? 300_000_000;
    this.#macsMax = options.macsMax ?? 8192;
  }

  /**
   * A VM's port, or with `vm` 0 that of infrastructure such as the gateway's stack.
   * @param vlan the VLAN that it is in; 0: the one without tags
   */
  addPort(vm: VmNumber, generation: PortGeneration, sink: PortSink, vlan: Vlan = 0): Port {
    assert(vlan === 0 || isVlan(vlan), `no VLAN: ${vlan}`);
    const port: LocalPort = { kind: 'local', vm, generation, vlan, sink };
    this.#locals.push(port);
    this.#raise(vm, generation);
    return port;
  }

  addUplink(sink: PortSink): Port {
    assert(this.#uplink === undefined, 'a second uplink would be a loop');
    this.#uplink = { kind: 'uplink', vm: 0, generation: 0, sink };
    return this.#uplink;
  }

  addTrunk(sink: TrunkSink): Port {
    const trunk: TrunkPort = { kind: 'trunk', vm: 0, generation: 0, sink };
    this.#trunks.push(trunk);
    return trunk;
  }

  get hasUplink(): boolean {
    return this.#uplink !== undefined;
  }

  /** Forgets the port and every place behind it. */
  remove(port: Port): void {
    const list: Port[] = port.kind === 'trunk' ? this.#trunks : this.#locals;
    const index = list.indexOf(port);
    if (index >= 0) list.splice(index, 1);
    if (this.#uplink === port) this.#uplink = undefined;
    this.#forgetPlaces((place) => place.port === port);
  }

  /** The VM behind a local port has gone live, or goes on, in this generation. */
  setGeneration(port: Port, generation: PortGeneration): void {
    assert(port.kind === 'local', 'only a local port has a generation of its own');
    port.generation = generation;
    this.#raise(port.vm, generation);
  }

  /** The highest generation known of a VM. */
  generationOf(vm: VmNumber): PortGeneration {
    return this.#generations.get(vm) ?? 0;
  }

  /** Whether the switch would drop what this generation of the VM sends. */
  isStale(vm: VmNumber, generation: PortGeneration): boolean {
    return generation < this.generationOf(vm);
  }

  /** A frame from a local port or the uplink. */
  receive(port: Port, frame: Uint8Array, now: number): void {
    assert(port.kind !== 'trunk', 'frames of a trunk come with their VM');
    const from = port as LocalPort | UplinkPort;
    if (from.kind === 'uplink') this.#receiveTagged(from, 0, 0, frame, now);
    else if (!isFrame(frame) || frame.length > FRAME_BYTES_MAX - VLAN_TAG_BYTES) {
      this.counters.malformed++;
    } else if (isTagged(frame)) this.counters.mistagged++;
    else this.#switch(from, from.vm, from.generation, from.vlan, frame, now);
  }

  /** A frame from a trunk, sent by a VM on another host. */
  receiveFromTrunk(
    trunk: Port,
    vm: VmNumber,
    generation: PortGeneration,
    frame: Uint8Array,
    now: number,
  ): void {
    assert(trunk.kind === 'trunk', 'not a trunk');
    this.#receiveTagged(trunk as TrunkPort, vm, generation, frame, now);
  }

  /**
   * The floating place: the center, or an announcement, says that these MACs of a VM are now behind
   * `port` (a local one or a trunk), in this generation. An older generation changes nothing.
   * @returns whether it was accepted
   */
  place(
    vm: VmNumber,
    generation: PortGeneration,
    macs: readonly Mac[],
    port: Port,
    now: number,
  ): boolean {
    if (this.isStale(vm, generation)) {
      this.counters.stale++;
      return false;
    }
    this.#raise(vm, generation);
    for (const mac of macs) {
      if (isGroupMac(mac)) continue;
      this.#pinned.set(mac, { port: port as LocalPort | TrunkPort, vm, seenAt: now });
    }
    return true;
  }

  /** The VM is deleted: its generation and its places go. */
  forgetVm(vm: VmNumber): void {
    this.#generations.delete(vm);
    this.#forgetPlaces((place) => place.vm === vm);
  }

  /** Drops learned places that are too old. To be called now and then, as every few seconds. */
  age(now: number): void {
    this.#forgetLearned((place) => this.#isOld(place, now));
  }

  #forgetPlaces(goes: (place: Place) => boolean): void {
    for (const [mac, place] of this.#pinned) if (goes(place)) this.#pinned.delete(mac);
    this.#forgetLearned(goes);
  }

  #forgetLearned(goes: (place: Place) => boolean): void {
    for (const [vlan, places] of this.#learned) {
      for (const [mac, place] of places) {
        if (!goes(place)) continue;
        places.delete(mac);
        this.#learnedCount--;
      }
      if (places.size === 0) this.#learned.delete(vlan);
    }
  }

  #isOld(place: Place, now: number): boolean {
    return now - place.seenAt > this.#ageingUs;
  }

  #raise(vm: VmNumber, generation: PortGeneration): void {
    if (vm !== 0 && generation > this.generationOf(vm)) this.#generations.set(vm, generation);
  }

  /** A frame from where all VLANs come. */
  #receiveTagged(
    from: UplinkPort | TrunkPort,
    vm: VmNumber,
    generation: PortGeneration,
    frame: Uint8Array,
    now: number,
  ): void {
    if (!isFrame(frame)) {
      this.counters.malformed++;
      return;
    }
    const vlan = vlanOf(frame);
    if (vlan === undefined) this.counters.mistagged++;
    else this.#switch(from, vm, generation, vlan, removeTag(frame), now);
  }

  /** @param frame without a tag */
  #switch(
    from: AnyPort,
    vm: VmNumber,
    generation: PortGeneration,
    vlan: Vlan,
    frame: Uint8Array,
    now: number,
  ): void {
    if (!this.#admit(from, vm, generation, vlan, sourceMac(frame), now)) return;
    if (from.kind === 'local') this.#forward(from, vlan, frame, now);
    else this.#deliverLocally(from, vlan, frame, now);
  }

  /** Checks who sends, and learns where it is. */
  #admit(
    from: AnyPort,
    vm: VmNumber,
    generation: PortGeneration,
    vlan: Vlan,
    source: Mac,
    now: number,
  ): boolean {
    if (vm !== 0) {
      const known = this.generationOf(vm);
      if (generation < known) {
        this.counters.stale++;
        return false;
      }
      if (generation > known) this.#generations.set(vm, generation);
    }
    if (isGroupMac(source)) {
      this.counters.malformed++;
      return false;
    }
    const pinned = this.#pinned.get(source);
    if (from.kind === 'uplink' && this.#comesByTrunk(pinned, vlan, source, now)) {
      this.counters.twice++;
      return false;
    }
    if (pinned === undefined) {
      this.#learn(from, vm, vlan, source, now);
      return true;
    }
    if (pinned.vm !== vm || from.kind === 'uplink') {
      this.counters.spoofed++;
      return false;
    }
    pinned.port = from;
    pinned.seenAt = now;
    return true;
  }

  /** Whether frames from this address reach us without the LAN. */
  #comesByTrunk(pinned: Place | undefined, vlan: Vlan, source: Mac, now: number): boolean {
    if (pinned !== undefined) return pinned.port.kind === 'trunk';
    const learned = this.#learned.get(vlan)?.get(source);
    return learned !== undefined && learned.port.kind === 'trunk' && !this.#isOld(learned, now);
  }

  #learn(port: AnyPort, vm: VmNumber, vlan: Vlan, mac: Mac, now: number): void {
    let places = this.#learned.get(vlan);
    const place = places?.get(mac);
    if (place !== undefined) {
      place.port = port;
      place.vm = vm;
      place.seenAt = now;
      return;
    }
    if (this.#learnedCount >= this.#macsMax) return;
    if (places === undefined) {
      places = new Map();
      this.#learned.set(vlan, places);
    }
    places.set(mac, { port, vm, seenAt: now });
    this.#learnedCount++;
  }

  /** Where a frame has to go, or undefined: everywhere. */
  #find(vlan: Vlan, destination: Mac, now: number): AnyPort | undefined {
    if (isGroupMac(destination)) return undefined;
    const pinned = this.#pinned.get(destination);
    if (pinned !== undefined) return pinned.port;
    const learned = this.#learned.get(vlan)?.get(destination);
    return learned === undefined || this.#isOld(learned, now) ? undefined : learned.port;
  }

  /** From a local port to wherever it may go. */
  #forward(from: LocalPort, vlan: Vlan, frame: Uint8Array, now: number): void {
    const to = this.#find(vlan, destinationMac(frame), now);
    if (to === from) return;
    if (to?.kind === 'local') {
      this.#deliver(to, vlan, frame);
      return;
    }
    const wire = vlan === 0 ? frame : addTag(frame, vlan);
    if (to !== undefined) {
      this.counters.forwarded++;
      if (to.kind === 'trunk') to.sink.deliver(from.vm, from.generation, wire);
      else to.sink.deliver(wire);
      return;
    }
    this.#flood(from, vlan, frame);
    this.#uplink?.sink.deliver(wire);
    for (const trunk of this.#trunks) trunk.sink.deliver(from.vm, from.generation, wire);
  }

  /** From a trunk or an uplink: to our own ports and nowhere else. */
  #deliverLocally(from: UplinkPort | TrunkPort, vlan: Vlan, frame: Uint8Array, now: number): void {
    const to = this.#find(vlan, destinationMac(frame), now);
    if (to === undefined) this.#flood(from, vlan, frame);
    else if (to.kind === 'local') this.#deliver(to, vlan, frame);
  }

  #deliver(to: LocalPort, vlan: Vlan, frame: Uint8Array): void {
    if (to.vlan !== vlan) return;
    this.counters.forwarded++;
    to.sink.deliver(frame);
  }

  #flood(from: AnyPort, vlan: Vlan, frame: Uint8Array): void {
    this.counters.flooded++;
    for (const port of this.#locals) {
      if (port !== from && port.vlan === vlan) port.sink.deliver(frame);
    }
  }
}
