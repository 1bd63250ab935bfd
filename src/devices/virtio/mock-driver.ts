/**
 * A driver for tests: the guest's side of a virtio-mmio device, over a `TestMachine`'s memory.
 *
 * It sets the device up as Linux does, offers chains of fresh buffers, kicks, and collects what came
 * back. It recycles descriptors and buffers like a careful driver; tests of hostile ones write into
 * the same memory by themselves.
 */
import { assert } from '../../base/assert.ts';
import type { Device } from '../../machine/device.ts';
import type { TestMemory } from '../testing.ts';

export const queueSize = 16;
const descriptorBytes = 16;
/** Each queue has a page: descriptors, then the driver's area, then the device's. */
const driverAreaAt = 0x400;
const deviceAreaAt = 0x600;
const pageBytes = 0x1000;
const buffersAt = 0x4000;

export interface Offer {
  readonly readable?: readonly Uint8Array[];
  /** Lengths of buffers for the device to write. */
  readonly writable?: readonly number[];
  readonly indirect?: boolean;
}

export interface Used {
  readonly head: number;
  /** What the device says it wrote, from the writable buffers in order. */
  readonly bytes: Uint8Array;
}

interface Ring {
  readonly at: number;
  available: number;
  used: number;
  readonly free: number[];
  readonly offers: Map<
    number,
    { descriptors: number[]; writable: { at: number; length: number }[] }
  >;
}

export class MockDriver {
  /** Replaced by a test that restores the device. */
  device: Device;
  readonly #memory: TestMemory;
  readonly #fields: DataView;
  readonly #rings: Ring[] = [];
  #bufferAt = buffersAt;
  eventIndex = false;

  constructor(device: Device, memory: TestMemory) {
    this.device = device;
    this.#memory = memory;
    this.#fields = new DataView(memory.bytes.buffer);
  }

  /** Reset, features, queues, DRIVER_OK: section 3.1.1. Features are bit numbers. */
  start(queues: number, features: readonly number[] = [28, 29, 32]): void {
    this.register(0x070, 0);
    this.register(0x070, 3);
    for (const word of [0, 1]) {
      let bits = 0;
      for (const bit of features) if (bit >>> 5 === word) bits |= 1 << (bit & 31);
      this.register(0x024, word);
      this.register(0x020, bits >>> 0);
    }
    this.register(0x070, 11);
    assert((this.device.read(0x070, 4) & 8) !== 0, 'the device refuses the features');
    this.eventIndex = features.includes(29);
    this.#rings.length = 0;
    this.#memory.bytes.fill(0);
    for (let queue = 0; queue < queues; queue++) this.#startQueue(queue);
    this.register(0x070, 15);
  }

  register(offset: number, value: number): void {
    this.device.write(offset, 4, value);
  }

  /** The device's status register. */
  get status(): number {
    return this.device.read(0x070, 4);
  }

  /** Whether there is room for a chain of so many descriptors. */
  hasRoom(queue: number, descriptors: number): boolean {
    return this.#rings[queue]!.free.length >= descriptors;
  }

  /** @returns the head of the chain */
  offer(queue: number, offer: Offer): number {
    const ring = this.#rings[queue]!;
    const { readable = [], writable = [], indirect = false } = offer;
    const buffers = [
      ...readable.map((bytes) => ({ at: this.#place(bytes), length: bytes.length, flags: 0 })),
      ...writable.map((length) => ({ at: this.#buffer(length), length, flags: 2 })),
    ];
    const descriptors = ring.free.splice(0, indirect ? 1 : buffers.length);
    const head = descriptors[0]!;
    if (indirect) {
      const table = this.#buffer(buffers.length * descriptorBytes);
      const numbers = buffers.map((_, index) => index);
      this.#describe(table, numbers, buffers);
      const length = buffers.length * descriptorBytes;
      this.#describe(ring.at, [head], [{ at: table, length, flags: 4 }]);
    } else {
      this.#describe(ring.at, descriptors, buffers);
    }
    ring.offers.set(head, { descriptors, writable: buffers.filter(({ flags }) => flags === 2) });
    const slot = ring.available % queueSize;
    this.poke16(ring.at + driverAreaAt + 4 + 2 * slot, head);
    ring.available = (ring.available + 1) & 0xffff;
    this.poke16(ring.at + driverAreaAt + 2, ring.available);
    return head;
  }

  kick(queue: number): void {
    this.register(0x050, queue);
  }

  /** What the device has given back since the last call; asks for an interrupt at the next. */
  collect(queue: number): Used[] {
    const ring = this.#rings[queue]!;
    const area = ring.at + deviceAreaAt;
    const collected: Used[] = [];
    while (ring.used !== this.#fields.getUint16(area + 2, true)) {
      const element = area + 4 + 8 * (ring.used % queueSize);
      const head = this.#fields.getUint32(element, true);
      const offer = ring.offers.get(head);
      assert(offer !== undefined, `chain ${head} was not offered`);
      ring.offers.delete(head);
      ring.free.push(...offer.descriptors);
      collected.push({ head, bytes: this.#written(offer.writable, element) });
      ring.used = (ring.used + 1) & 0xffff;
    }
    if (this.eventIndex) this.poke16(ring.at + driverAreaAt + 4 + 2 * queueSize, ring.used);
    return collected;
  }

  /** The index at which the device wants the next kick; with event indices only. */
  kickAt(queue: number): number {
    return this.#fields.getUint16(this.#rings[queue]!.at + deviceAreaAt + 4 + 8 * queueSize, true);
  }

  /** Acknowledges and returns the causes of the interrupt. */
  acknowledge(): number {
    const causes = this.device.read(0x060, 4);
    this.register(0x064, causes);
    return causes;
  }

  poke16(at: number, value: number): void {
    this.#fields.setUint16(at, value, true);
  }

  #startQueue(queue: number): void {
    const at = queue * pageBytes;
    this.#rings.push({
      at,
      available: 0,
      used: 0,
      free: Array.from({ length: queueSize }, (_, index) => index),
      offers: new Map(),
    });
    const address = Number(this.#memory.base) + at;
    this.register(0x030, queue);
    this.register(0x038, queueSize);
    for (const [register, area] of [
      [0x080, address],
      [0x090, address + driverAreaAt],
      [0x0a0, address + deviceAreaAt],
    ] as const) {
      this.register(register, area);
      this.register(register + 4, 0);
    }
    this.register(0x044, 1);
    assert(this.device.read(0x044, 4) === 1, 'the device refuses the queue');
  }

  #describe(
    table: number,
    numbers: readonly number[],
    buffers: readonly { at: number; length: number; flags: number }[],
  ): void {
    for (const [index, { at, length, flags }] of buffers.entries()) {
      const descriptor = table + descriptorBytes * numbers[index]!;
      const next = numbers[index + 1];
      this.#fields.setBigUint64(descriptor, this.#memory.base + BigInt(at), true);
      this.#fields.setUint32(descriptor + 8, length, true);
      this.poke16(descriptor + 12, flags | (next === undefined ? 0 : 1));
      this.poke16(descriptor + 14, next ?? 0);
    }
  }

  /** Buffers are taken round and round: the test keeps few enough of them in flight. */
  #buffer(length: number): number {
    if (this.#bufferAt + length > this.#memory.bytes.length) this.#bufferAt = buffersAt;
    const at = this.#bufferAt;
    this.#bufferAt += (length + 15) & ~15;
    return at;
  }

  #place(bytes: Uint8Array): number {
    const at = this.#buffer(bytes.length);
    this.#memory.bytes.set(bytes, at);
    return at;
  }

  #written(writable: readonly { at: number; length: number }[], element: number): Uint8Array {
    let left = this.#fields.getUint32(element + 4, true);
    const parts: number[] = [];
    for (const { at, length } of writable) {
      parts.push(...this.#memory.bytes.subarray(at, at + Math.min(left, length)));
      left -= Math.min(left, length);
    }
    return Uint8Array.from(parts);
  }
}
