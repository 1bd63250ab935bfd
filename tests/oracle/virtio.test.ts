/**
 * Virtio against QEMU's: the transport's registers, and a disk whose every request must leave the
 * same memory behind, rings and event indices included, and the same interrupts.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { TestMachine } from '../../src/devices/testing.ts';
import { virtioSlot } from '../../src/devices/virt-map.ts';
import { VirtioBlock } from '../../src/devices/virtio/block.ts';
import { MockDriver, type Offer } from '../../src/devices/virtio/mock-driver.ts';
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
} from '../../src/devices/virtio/net.ts';
import type { AccessSize, Device } from '../../src/machine/device.ts';
import { Both, Session, serial, skip } from './qtest.ts';

const offloads = [
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
] as const;
const bits = (...numbers: number[]): number => numbers.reduce((sum, bit) => sum | (1 << bit), 0);
/** VIRTIO_BLK_F_SIZE_MAX (1). A card's offloads QEMU offers only in front of a TAP device. */
const ours = [bits(...offloads), bits(1), 0] as const;

test('virtio-mmio: identity, negotiation, queues and configuration', { skip }, async () => {
  for (const [slot, queues, configurationBytes] of [
    [0, 2, 8],
    [1, 1, 36],
    [2, 0, 0],
  ] as const) {
    const { base } = virtioSlot(slot);
    const random = new SeededRandom(slot);
    const both = new Both();
    both.enableLines();
    const handshake = (): void => {
      for (const status of [0, 1, 3]) both.write(base + 0x70, status);
      both.write(base + 0x24, 0);
      both.write(base + 0x20, 0);
      both.write(base + 0x24, 1);
      both.write(base + 0x20, 1);
      both.write(base + 0x70, 11);
      both.read(base + 0x70);
    };
    for (let act = 0; act < 300; act++) {
      if (act % 50 === 0) {
        handshake();
        if (act % 100 === 0) both.write(base + 0x70, 15);
      }
      switch (random.below(6)) {
        case 0:
          both.read(base + random.pick([0x00, 0x04, 0x08, 0x0c, 0x60, 0x70, 0xfc]));
          break;
        case 1: {
          // What we offer, QEMU offers too, but for what `ours` names.
          const word = random.below(2);
          both.write(base + 0x14, word);
          const offered = both.bus.read(base + 0x10, 4)!;
          both.read(base + 0x10, 4, word === 0 ? offered & ~ours[slot] : offered);
          break;
        }
        case 2: {
          const queue = random.below(Math.max(queues, 1));
          both.write(base + 0x30, queue);
          both.read(base + 0x44);
          if (queues === 0) break;
          both.write(base + 0x38, 16);
          both.write(base + 0x80, 0x8000_0000 + 0x1000 * queue);
          both.write(base + 0x90, 0x8000_0400 + 0x1000 * queue);
          both.write(base + 0xa0, 0x8000_0600 + 0x1000 * queue);
          both.write(base + 0x44, 1);
          both.read(base + 0x44);
          break;
        }
        case 3:
          if (configurationBytes > 0) {
            const size = random.pick([1, 2, 4] as const);
            const at = random.below(configurationBytes / size) * size;
            // Of the disk's configuration, capacity and block size are the same; limits are ours.
            if (slot === 0 || at < 8 || (at >= 20 && at < 24)) both.read(base + 0x100 + at, size);
          }
          break;
        case 4:
          both.read(base + random.pick([0xb0, 0xb4]));
          break;
        default:
          both.read(base + random.pick([0x01, 0x70, 0x71]), 1);
      }
      both.checkLines();
    }
    await both.compare();
  }
});

/** A device of ours and QEMU's in slot 1, driven alike through one memory each. */
class BothDisks implements Device {
  readonly machine = new TestMachine();
  readonly disk = new VirtioBlock({ disk: 0, capacity: 2 ** 20, serial }, this.machine);
  readonly #session: Session;
  readonly #commands: string[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  /** Reading has no effect on either, so QEMU need not be asked. */
  read(offset: number, size: AccessSize): number {
    return this.disk.read(offset, size);
  }

  write(offset: number, size: AccessSize, value: number): void {
    this.disk.write(offset, size, value);
    this.#commands.push(`writel ${virtioSlot(1).base + offset} ${value}`);
  }

  /** Gives QEMU the memory that the driver has prepared; to be called before each kick. */
  async synchronize(): Promise<void> {
    const { base, bytes } = this.machine.memory;
    const data = Buffer.from(bytes).toString('base64');
    await this.#session.ask([
      ...this.#commands.splice(0),
      `b64write ${base} ${bytes.length} ${data}`,
    ]);
  }

  /** Asks until QEMU has done what ours has, and compares memory, status and interrupt. */
  async compare(): Promise<void> {
    const { base, bytes } = this.machine.memory;
    const slot = virtioSlot(1).base;
    const ours = Buffer.from(bytes);
    const used = ours.readUInt16LE(0x602);
    await this.#session.ask(this.#commands.splice(0));
    for (let attempt = 0; attempt < 1_000; attempt++) {
      const [index] = await this.#session.ask([`readw ${base + 0x602n}`]);
      if (Number(index) === used) break;
    }
    const [memory, status, interrupt] = await this.#session.ask([
      `b64read ${base} ${bytes.length}`,
      `readl ${slot + 0x70}`,
      `readl ${slot + 0x60}`,
    ]);
    const theirs = Buffer.from(memory!, 'base64');
    const at = ours.findIndex((byte, index) => byte !== theirs[index]);
    assert.equal(at, -1, `memory differs at 0x${at.toString(16)}: ${ours[at]}, not ${theirs[at]}`);
    assert.equal(this.disk.read(0x70, 4), Number(status), 'status');
    assert.equal(this.disk.read(0x60, 4), Number(interrupt), 'interrupt status');
  }

  reset(): void {}
  save(): void {}
  restore(): void {}
}

test('virtio-blk: random requests leave the same memory and interrupts', { skip }, async () => {
  const session = new Session();
  try {
    for (const features of [[32], [28, 32], [28, 29, 32]]) {
      const random = new SeededRandom(features.length);
      const both = new BothDisks(session);
      const driver = new MockDriver(both, both.machine.memory);
      driver.start(1, features);
      for (let act = 0; act < 150; act++) {
        if (random.chance(0.7)) driver.collect(0);
        if (random.chance(0.5)) driver.acknowledge();
        if (!driver.hasRoom(0, 4)) continue;
        driver.offer(0, diskOffer(random, features.includes(28)));
        await both.synchronize();
        driver.kick(0);
        for (const { request, action, length } of both.disk.pendingRequests) {
          const data = new Uint8Array(action === 'read' ? length : 0);
          both.disk.complete({ kind: 'disk', disk: 0, request, ok: true, data });
        }
        await both.compare();
      }
    }
  } finally {
    session.close();
  }
});

/** Types: in, out, flush, identity, unknown; of whole sectors, on the disk or beyond. */
function diskOffer(random: SeededRandom, indirect: boolean): Offer {
  const type = random.pick([0, 0, 1, 1, 4, 8, 99]);
  const header = new Uint8Array(16);
  header[0] = type;
  header[9] = random.below(9);
  const data = random.bytes(512 * random.between(1, 4));
  const cut = 512 * random.below(data.length / 512);
  const parts = [data.subarray(0, cut), data.subarray(cut)].filter(({ length }) => length > 0);
  const lengths = type === 0 ? parts.map(({ length }) => length) : type === 8 ? [20] : [];
  return {
    readable: [header, ...(type === 1 ? parts : [])],
    writable: [...lengths, 1],
    indirect: indirect && random.chance(0.5),
  };
}
