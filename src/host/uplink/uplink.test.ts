import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { UmbraError } from '../../base/errors.ts';
import type { Port } from '../../network/switch.ts';
import { KeptLog, numberOf, testFrame, until } from '../ethernet.fixture.ts';
import { Ethernet } from '../ethernet.ts';
import type { LanDevice } from './tap-device.ts';
import { Uplink } from './uplink.ts';

const guest = '52:54:00:00:00:01';
const laptop = '3c:52:00:00:00:01';
const everybody = 'ff:ff:ff:ff:ff:ff';

/** A device without a machine behind it. */
class FakeDevice implements LanDevice {
  readonly name = 'tap-of-test';
  readonly bridge = undefined;
  readonly written: number[] = [];
  readonly waiting: Uint8Array[] = [];
  removed = false;
  closed = false;
  #wake: () => void = () => {};

  arrive(frame: Uint8Array): void {
    this.waiting.push(frame);
    this.#wake();
  }

  remove(): void {
    this.removed = true;
    this.#wake();
  }

  readable(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.waiting.length > 0 || this.removed) this.#wake();
    });
  }

  read(bytes: Uint8Array): number {
    if (this.removed) throw new UmbraError('uplink-lost', 'it has been removed', 'Make it again.');
    const frame = this.waiting.shift();
    if (frame === undefined) return 0;
    bytes.set(frame);
    return frame.length;
  }

  write(frame: Uint8Array): boolean {
    this.written.push(numberOf(frame));
    return true;
  }

  close(): void {
    this.closed = true;
  }
}

let ethernet: Ethernet;
let device: FakeDevice;
let next: FakeDevice | undefined;
let uplink: Uplink;
let port: Port;
let received: number[];
const kept = new KeptLog();

beforeEach(() => {
  ethernet = new Ethernet();
  device = new FakeDevice();
  next = undefined;
  const reopen = (): LanDevice => {
    if (next === undefined) throw new UmbraError('uplink-missing', 'it is not there', 'Make it.');
    return next;
  };
  uplink = new Uplink(device, reopen, ethernet, kept.log);
  received = [];
  port = ethernet.switch.addPort(1, 1, { deliver: (frame) => received.push(numberOf(frame)) });
});

afterEach(() => {
  uplink.close();
  ethernet.close();
});

function send(number: number): void {
  ethernet.turn((now) => {
    ethernet.switch.receive(port, testFrame(everybody, guest, number), now);
  });
}

test('frames pass both ways, many in one turn', async () => {
  send(1);
  assert.deepEqual(device.written, [1]);
  const count = 300;
  for (let number = 0; number < count; number++) {
    device.arrive(testFrame(guest, laptop, number));
  }
  await until('all have come', () => received.length === count);
  assert.deepEqual(uplink.counters, { sent: 1, received: count, dropped: 0 });
});

test('a process that stood still is silent on the LAN for a moment, and then not', async () => {
  send(1);
  const end = performance.now() + 400;
  while (performance.now() < end);
  // What a guest had said before: it may be live elsewhere by now.
  send(2);
  send(3);
  assert.deepEqual(device.written, [1]);
  assert.equal(uplink.counters.dropped, 2);
  assert.ok(kept.has('stood still'));
  await until('it speaks again', () => {
    send(4);
    return device.written.length > 1;
  });
  const silentMs = performance.now() - end;
  assert.ok(silentMs >= 490, `it spoke after ${silentMs} ms`);
});

test('a LAN hears of whoever goes live, of its MAC at least', () => {
  ethernet.turn((now) => {
    ethernet.goLive(port, 2, [{ mac: 0x525400000001, ipv4: [], ipv6: [] }], now);
  });
  assert.equal(device.written.length, 1, 'a RARP');
});

test('a device that is removed is taken again when it is back, and hears of everybody', async () => {
  ethernet.turn((now) => {
    ethernet.goLive(port, 2, [{ mac: 0x525400000001, ipv4: [0x0a560009], ipv6: [] }], now);
  });
  device.remove();
  await until('the device is closed', () => device.closed);
  send(5);
  next = new FakeDevice();
  const fresh = next;
  await until('the new one is announced to', () => fresh.written.length >= 2);
  fresh.arrive(testFrame(guest, laptop, 6));
  await until('it is heard', () => received.includes(6));
});

test('closed, it takes its port away', () => {
  uplink.close();
  send(1);
  assert.deepEqual([device.written, device.closed], [[], true]);
  assert.equal(ethernet.switch.hasUplink, false);
});
