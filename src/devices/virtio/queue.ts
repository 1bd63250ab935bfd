/**
 * Queue: the device's side of a split virtqueue (virtio 1.2, section 2.7), with indirect descriptors
 * and event indices.
 *
 * Chains come from the driver's rings in guest memory (`pop`), go back through the used ring
 * (`push`), and `takeSignal` says whether the driver wants an interrupt for it.
 *
 * Nothing in guest memory is trusted. Whatever breaks the rules (an index beyond the ring, a loop, a
 * buffer outside RAM, an empty one) calls `fail`, after which the device needs a reset; every walk
 * is bounded. The driver cannot run while the device does, so no barrier and no re-check is needed.
 */
import { assert } from '../../base/assert.ts';
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { GuestMemory } from '../../machine/device.ts';
import type { Chain, Segment } from './chain.ts';

const VIRTQ_DESC_F_NEXT = 1;
const VIRTQ_DESC_F_WRITE = 2;
const VIRTQ_DESC_F_INDIRECT = 4;
const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
const VIRTQ_USED_F_NO_NOTIFY = 1;

const descriptorBytes = 16;
const usedElementBytes = 8;
/** Segments of one chain at most, indirect ones included; as in QEMU. */
const segmentsMax = 1024;

/** What the queue must know about the device that owns it. */
export interface QueueOwner {
  readonly memory: GuestMemory;
  /** VIRTIO_F_RING_EVENT_IDX and VIRTIO_F_INDIRECT_DESC, as negotiated. */
  readonly eventIndex: boolean;
  readonly indirect: boolean;
  /** The driver has broken the rules. */
  fail(): void;
}

export class Queue {
  readonly sizeMax: number;
  readonly #owner: QueueOwner;
  /** Set up by the driver through the transport while the queue is not ready. */
  size: number;
  descriptorArea = 0n;
  driverArea = 0n;
  deviceArea = 0n;
  #ready = false;
  /** Free-running 16-bit indices of the next chain to take and to give back. */
  #nextAvailable = 0;
  #nextUsed = 0;
  /** `#nextUsed` when the driver's wish for an interrupt was last looked at. */
  #signalled = 0;
  /** Whether the device wants kicks, and which available index it last told the driver. */
  #wantsKicks = true;
  #kickAt = 0;
  /** An element of the used ring while it is written, as bytes and as fields. */
  readonly #usedElementBytes = new Uint8Array(usedElementBytes);
  readonly #usedElement = new DataView(this.#usedElementBytes.buffer);

  constructor(sizeMax: number, owner: QueueOwner) {
    this.sizeMax = sizeMax;
    this.size = sizeMax;
    this.#owner = owner;
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Takes the queue into use, if the driver has set it up by the rules. */
  start(): void {
    const { memory } = this.#owner;
    const { size } = this;
    const good =
      size > 0 &&
      size <= this.sizeMax &&
      (size & (size - 1)) === 0 &&
      this.descriptorArea % 16n === 0n &&
      this.driverArea % 2n === 0n &&
      this.deviceArea % 4n === 0n &&
      memory.view(this.descriptorArea, descriptorBytes * size) !== undefined &&
      memory.view(this.driverArea, 6 + 2 * size) !== undefined &&
      memory.view(this.deviceArea, 6 + usedElementBytes * size) !== undefined;
    if (good) this.#ready = true;
    else this.#owner.fail();
  }

  /** Back to how it was before the driver touched it. */
  reset(): void {
    this.stop();
    this.size = this.sizeMax;
    this.descriptorArea = 0n;
    this.driverArea = 0n;
    this.deviceArea = 0n;
  }

  stop(): void {
    this.#ready = false;
    this.#nextAvailable = 0;
    this.#nextUsed = 0;
    this.#signalled = 0;
    this.#wantsKicks = true;
    this.#kickAt = 0;
  }

  /** The next chain that the driver offers, if any. */
  pop(): Chain | undefined {
    if (!this.#ready) return undefined;
    const waiting = (this.#available() - this.#nextAvailable) & 0xffff;
    if (waiting === 0) {
      this.#tellKickAt();
      return undefined;
    }
    if (waiting > this.size) return this.#broken();
    const slot = this.#nextAvailable & (this.size - 1);
    const head = u16(this.#view(this.driverArea + BigInt(4 + 2 * slot), 2), 0);
    const chain = this.#walk(head);
    if (chain !== undefined) this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    return chain;
  }

  /** Puts the last `count` chains back, as if they had not been popped. */
  unpop(count: number): void {
    this.#nextAvailable = (this.#nextAvailable - count) & 0xffff;
  }

  /** Gives a chain back, with the number of bytes written into it, unless the driver has gone. */
  push(head: number, written: number): void {
    if (!this.#ready) return;
    const slot = this.#nextUsed & (this.size - 1);
    const element = this.#usedElement;
    element.setUint32(0, head, true);
    element.setUint32(4, written, true);
    this.#write(this.deviceArea + BigInt(4 + usedElementBytes * slot), this.#usedElementBytes);
    this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    this.#writeU16(this.deviceArea + 2n, this.#nextUsed);
  }

  /** After a batch of `push`: does the driver want an interrupt? Section 2.7.7. */
  takeSignal(): boolean {
    if (!this.#ready) return false;
    const before = this.#signalled;
    this.#signalled = this.#nextUsed;
    if (before === this.#nextUsed) return false;
    if (!this.#owner.eventIndex) {
      return (u16(this.#view(this.driverArea, 2), 0) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    }
    const event = u16(this.#view(this.driverArea + BigInt(4 + 2 * this.size), 2), 0);
    return ((this.#nextUsed - event - 1) & 0xffff) < ((this.#nextUsed - before) & 0xffff);
  }

  /** Asks the driver for kicks on new chains, or not to bother. Section 2.7.10. */
  wantKicks(wanted: boolean): void {
    if (!this.#ready || wanted === this.#wantsKicks) return;
    this.#wantsKicks = wanted;
    if (this.#owner.eventIndex) this.#tellKickAt();
    else this.#writeU16(this.deviceArea, wanted ? 0 : VIRTQ_USED_F_NO_NOTIFY);
  }

  save(writer: ByteWriter): void {
    writer.u16(this.size).bool(this.#ready).bool(this.#wantsKicks);
    writer.u64(this.descriptorArea).u64(this.driverArea).u64(this.deviceArea);
    writer.u16(this.#nextAvailable).u16(this.#nextUsed).u16(this.#signalled).u16(this.#kickAt);
  }

  restore(reader: ByteReader): void {
    this.size = reader.u16();
    this.#ready = reader.bool();
    this.#wantsKicks = reader.bool();
    this.descriptorArea = reader.u64();
    this.driverArea = reader.u64();
    this.deviceArea = reader.u64();
    this.#nextAvailable = reader.u16();
    this.#nextUsed = reader.u16();
    this.#signalled = reader.u16();
    this.#kickAt = reader.u16();
  }

  /** The index at which the driver offers its next chain. */
  #available(): number {
    return u16(this.#view(this.driverArea + 2n, 2), 0);
  }

  /**
   * At the driver's next chain, even where some are left untaken because they are too few: with
   * event indices an index that the driver has passed is never kicked at. For the same reason, not
   * to want kicks is to leave the index where it was.
   */
  #tellKickAt(): void {
    if (!this.#owner.eventIndex || !this.#wantsKicks) return;
    const available = this.#available();
    if (this.#kickAt === available) return;
    this.#kickAt = available;
    this.#writeU16(this.deviceArea + BigInt(4 + usedElementBytes * this.size), this.#kickAt);
  }

  /** Follows a chain: through the descriptor table, at its end perhaps through an indirect one. */
  #walk(head: number): Chain | undefined {
    const { memory } = this.#owner;
    let table = this.#view(this.descriptorArea, descriptorBytes * this.size);
    let count = this.size;
    let indirect = false;
    const readable: Segment[] = [];
    const writable: Segment[] = [];
    let readableBytes = 0;
    let writableBytes = 0;
    let index = head;
    // Each step adds a segment or enters the indirect table, which happens at most once.
    for (let steps = 0; steps <= segmentsMax; steps++) {
      if (index >= count) return this.#broken();
      const at = index * descriptorBytes;
      const address = table.getBigUint64(at, true);
      const length = table.getUint32(at + 8, true);
      const flags = table.getUint16(at + 12, true);
      const next = table.getUint16(at + 14, true);
      const buffer = memory.view(address, length);
      if (length === 0 || buffer === undefined) return this.#broken();
      if (flags & VIRTQ_DESC_F_INDIRECT) {
        const whole = length % descriptorBytes === 0;
        if (indirect || !this.#owner.indirect || !whole || flags & VIRTQ_DESC_F_NEXT) {
          return this.#broken();
        }
        indirect = true;
        table = new DataView(buffer.buffer, buffer.byteOffset, length);
        count = length / descriptorBytes;
        index = 0;
        continue;
      }
      if (flags & VIRTQ_DESC_F_WRITE) {
        writable.push({ address, length });
        writableBytes += length;
      } else {
        if (writable.length > 0) return this.#broken();
        readable.push({ address, length });
        readableBytes += length;
      }
      if (!(flags & VIRTQ_DESC_F_NEXT)) {
        return { head, readable, writable, readableBytes, writableBytes };
      }
      index = next;
    }
    return this.#broken();
  }

  #broken(): undefined {
    this.#owner.fail();
    return undefined;
  }

  /** A part of the rings: `start` has seen that they lie in RAM. */
  #view(address: bigint, length: number): DataView {
    const view = this.#owner.memory.view(address, length);
    assert(view !== undefined, 'a ring outside RAM');
    return new DataView(view.buffer, view.byteOffset, length);
  }

  #write(address: bigint, bytes: Uint8Array): void {
    assert(this.#owner.memory.write(address, bytes), 'a ring outside RAM');
  }

  #writeU16(address: bigint, value: number): void {
    this.#write(address, Uint8Array.of(value & 0xff, value >>> 8));
  }
}

function u16(view: DataView, at: number): number {
  return view.getUint16(at, true);
}
