/**
 * The learning Ethernet switch in each host daemon and in the gateway's process.
 *
 * Frames come from local ports (VM processes, the gateway's stack, an uplink) and from trunks (the
 * switches of the other hosts, a full mesh); they go where their destination was last seen, or
 * everywhere. Like IEEE 802.1D learning and forwarding, with two rules of its own (DESIGN 7):
 *
 * - **No loops:** what a trunk brought never leaves by a trunk. In a full mesh one hop reaches all.
 * - **Stale primaries are silent:** every port carries the generation of the VM behind it, and so
 *   does every frame on a trunk. The switch remembers the highest generation of each VM and drops
 *   whatever an older one sent, from a trunk and from a local port alike.
 *
 * An uplink is a real LAN that joins the hosts already: a switch with an uplink sends to the LAN
 * instead of to the trunks, and an uplink and trunks never exchange frames.
 */
import { assert } from '../base/assert.ts';
import { destinationMac, isFrame, isGroupMac, sourceMac } from './frames/ethernet.ts';
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
  readonly kind: 'local' | 'uplink';
  readonly sink: PortSink;
}

interface TrunkPort extends Port {
  readonly kind: 'trunk';
  readonly sink: TrunkSink;
}

interface Place {
  port: LocalPort | TrunkPort;
  vm: VmNumber;
  /** Placed by the center or an announcement: no other VM may take the address by sending. */
  pinned: boolean;
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
  spoofed: number;
}

export class Switch {
  readonly counters: SwitchCounters = {
    forwarded: 0,
    flooded: 0,
    malformed: 0,
    stale: 0,
    spoofed: 0,
  };
  readonly #ageingUs: number;
  readonly #macsMax: number;
  readonly #locals: LocalPort[] = [];
  readonly #trunks: TrunkPort[] = [];
  #uplink: LocalPort | undefined;
  readonly #places = new Map<Mac, Place>();
  readonly #generations = new Map<VmNumber, PortGeneration>();

  constructor(options: SwitchOptions = {}) {
    this.#ageingUs = options.ageingUs ?? 300_000_000;
    this.#macsMax = options.macsMax ?? 8192;
  }

  /** A VM's port, or with `vm` 0 that of infrastructure such as the gateway's stack. */
  addPort(vm: VmNumber, generation: PortGeneration, sink: PortSink): Port {
    const port: LocalPort = { kind: 'local', vm, generation, sink };
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

  /** Forgets the port and every place behind it. */
  remove(port: Port): void {
    const list: Port[] = port.kind === 'trunk' ? this.#trunks : this.#locals;
    const index = list.indexOf(port);
    if (index >= 0) list.splice(index, 1);
    if (this.#uplink === port) this.#uplink = undefined;
    for (const [mac, place] of this.#places) if (place.port === port) this.#places.delete(mac);
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
    const from = port as LocalPort;
    if (!this.#admit(from, from.vm, from.generation, frame, now)) return;
    this.#forward(from, from.vm, from.generation, frame, now);
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
    if (!this.#admit(trunk as TrunkPort, vm, generation, frame, now)) return;
    this.#forward(trunk as TrunkPort, vm, generation, frame, now);
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
      const target = port as LocalPort | TrunkPort;
      this.#places.set(mac, { port: target, vm, pinned: true, seenAt: now });
    }
    return true;
  }

  /** The VM is deleted: its generation and its places go. */
  forgetVm(vm: VmNumber): void {
    this.#generations.delete(vm);
    for (const [mac, place] of this.#places) if (place.vm === vm) this.#places.delete(mac);
  }

  /** Drops learned places that are too old. To be called now and then, as every few seconds. */
  age(now: number): void {
    for (const [mac, place] of this.#places) {
      if (!place.pinned && now - place.seenAt > this.#ageingUs) this.#places.delete(mac);
    }
  }

  #raise(vm: VmNumber, generation: PortGeneration): void {
    if (vm !== 0 && generation > this.generationOf(vm)) this.#generations.set(vm, generation);
  }

  /** Checks the frame and learns where its source is. */
  #admit(
    from: LocalPort | TrunkPort,
    vm: VmNumber,
    generation: PortGeneration,
    frame: Uint8Array,
    now: number,
  ): boolean {
    if (!isFrame(frame)) {
      this.counters.malformed++;
      return false;
    }
    if (vm !== 0) {
      const known = this.generationOf(vm);
      if (generation < known) {
        this.counters.stale++;
        return false;
      }
      if (generation > known) this.#generations.set(vm, generation);
    }
    const source = sourceMac(frame);
    if (isGroupMac(source)) {
      this.counters.malformed++;
      return false;
    }
    return this.#learn(source, from, vm, now);
  }

  #learn(mac: Mac, port: LocalPort | TrunkPort, vm: VmNumber, now: number): boolean {
    const place = this.#places.get(mac);
    if (place === undefined) {
      if (this.#places.size < this.#macsMax) {
        this.#places.set(mac, { port, vm, pinned: false, seenAt: now });
      }
      return true;
    }
    if (place.pinned && place.vm !== vm) {
      this.counters.spoofed++;
      return false;
    }
    place.port = port;
    place.vm = vm;
    place.seenAt = now;
    return true;
  }

  #forward(
    from: LocalPort | TrunkPort,
    vm: VmNumber,
    generation: PortGeneration,
    frame: Uint8Array,
    now: number,
  ): void {
    const destination = destinationMac(frame);
    const place = isGroupMac(destination) ? undefined : this.#places.get(destination);
    if (place !== undefined && (place.pinned || now - place.seenAt <= this.#ageingUs)) {
      if (place.port === from || !this.#mayPass(from, place.port)) return;
      this.counters.forwarded++;
      if (place.port.kind === 'trunk') place.port.sink.deliver(vm, generation, frame);
      else place.port.sink.deliver(frame);
      return;
    }
    this.counters.flooded++;
    for (const port of this.#locals) if (port !== from) port.sink.deliver(frame);
    if (this.#uplink !== undefined) {
      if (from !== this.#uplink && this.#mayPass(from, this.#uplink)) {
        this.#uplink.sink.deliver(frame);
      }
    } else if (from.kind === 'local') {
      for (const trunk of this.#trunks) trunk.sink.deliver(vm, generation, frame);
    }
  }

  #mayPass(from: Port, to: Port): boolean {
    return from.kind === 'local' || to.kind === 'local';
  }
}
