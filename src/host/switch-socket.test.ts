/** Ports on the switch's sockets, and what happens to those that do not keep to the rules. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { portGeneration } from '../network/switch.ts';
import { KeptLog, numberOf, testFrame, until, VmEnd } from './ethernet.fixture.ts';
import { Ethernet } from './ethernet.ts';
import { decodeSwitchHello, encodeSwitchHello } from './switch-hello.ts';
import { SwitchSocket } from './switch-socket.ts';
import type { SwitchHello } from './vm/protocol.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-switch-'));
const vmPath = join(folder, 'switch.sock');
const plainPath = join(folder, 'qemu.sock');
const kept = new KeptLog();
const ethernet = new Ethernet();
const vmSocket = new SwitchSocket(ethernet, 'vm', kept.log);
const plainSocket = new SwitchSocket(ethernet, 'infrastructure', kept.log);
const macs = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'] as const;
const ends: VmEnd[] = [];

before(async () => {
  await vmSocket.listen(vmPath);
  await plainSocket.listen(plainPath);
});

after(async () => {
  for (const end of ends) end.close();
  await vmSocket.close();
  await plainSocket.close();
  ethernet.close();
  rmSync(folder, { recursive: true, force: true });
});

function plug(path: string): VmEnd {
  const end = new VmEnd(path);
  ends.push(end);
  return end;
}

/** A VM's end that is live, with no frame under way. */
async function vm(number: number, generation: number): Promise<VmEnd> {
  const end = plug(vmPath);
  end.hello({ vmNumber: number, mac: macs[number - 1]!, generation });
  const wanted = portGeneration(1, generation);
  await until('live', () => ethernet.switch.generationOf(number) === wanted);
  return end;
}

test('a plain port talks with a VM, as QEMU or passt would', async () => {
  const guest = await vm(1, 1);
  const qemu = plug(plainPath);
  qemu.send(testFrame(macs[0], macs[2], 1));
  await until('there', () => guest.frames.length === 1);
  guest.send(testFrame(macs[2], macs[0], 2));
  await until('and back', () => qemu.frames.length === 1);
  assert.equal(numberOf(qemu.frames[0]!), 2);
});

test('a port that is not live yet neither hears nor speaks', async () => {
  const guest = await vm(1, 2);
  const shadow = plug(vmPath);
  await until('connected', () => !shadow.socket.connecting);
  const heard = ethernet.switch.counters.flooded;
  guest.send(testFrame('ff:ff:ff:ff:ff:ff', macs[0], 3));
  await until('flooded', () => ethernet.switch.counters.flooded > heard);
  assert.equal(shadow.frames.length, 0);
  shadow.send(testFrame(macs[1], macs[0], 4));
  await until('closed', () => shadow.closed);
  assert.ok(kept.has('a frame before hello'));
});

test('what is malformed ends its connection and nothing else', async () => {
  const watcher = await vm(2, 1);
  const hello: SwitchHello = {
    vmNumber: 1,
    mac: macs[0],
    epoch: 1,
    generation: 9,
    ipv4: [],
    ipv6: [],
  };
  const rubbish: Uint8Array[][] = [
    [Uint8Array.of(0x7f, 0xff, 0xff, 0xff)],
    [Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
    [Uint8Array.of(0x80, 0, 0, 1, 0x7b)],
    [encodeSwitchHello(hello), encodeSwitchHello({ ...hello, vmNumber: 2 })],
    [encodeSwitchHello(hello), encodeSwitchHello({ ...hello, generation: 8 })],
    [encodeSwitchHello(hello), encodeSwitchHello({ ...hello, vlan: 7 })],
  ];
  for (const parts of rubbish) {
    const end = plug(vmPath);
    for (const part of parts) end.socket.write(part);
    await until('closed', () => end.closed);
  }
  const qemu = plug(plainPath);
  qemu.socket.write(encodeSwitchHello(hello));
  await until('a plain port takes no hello', () => qemu.closed);
  const guest = await vm(1, 10);
  guest.socket.write(Uint8Array.of(0, 0, 0, 3, 1, 2, 3));
  guest.send(testFrame(macs[1], macs[0], 5));
  await until('a short frame is only dropped', () => watcher.frames.length > 0);
  assert.equal(numberOf(watcher.frames.at(-1)!), 5);
});

test('a port of a generation that is over stays silent', async () => {
  const watcher = await vm(2, 2);
  const stale = plug(vmPath);
  stale.hello({ vmNumber: 1, mac: macs[0], generation: 3 });
  const before = ethernet.switch.counters.stale;
  stale.send(testFrame(macs[1], macs[0], 6));
  await until('dropped', () => ethernet.switch.counters.stale > before);
  assert.equal(watcher.frames.filter((frame) => numberOf(frame) === 6).length, 0);
  assert.equal(stale.closed, false);
});

test('a reader that does not read loses frames, and keeps no more than the queue', async () => {
  const sender = await vm(1, 11);
  const slow = await vm(2, 3);
  slow.socket.pause();
  const frame = new Uint8Array(9000);
  frame.set(testFrame(macs[1], macs[0], 7));
  const forwarded = ethernet.switch.counters.forwarded;
  const count = 6000;
  for (let sent = 0; sent < count; sent++) {
    sender.send(frame);
    if (sent % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
  }
  await until('all switched', () => ethernet.switch.counters.forwarded - forwarded === count);
  slow.socket.resume();
  const isLast = (): boolean => numberOf(slow.frames.at(-1) ?? frame) === 8;
  await until('the queue drains', () => {
    if (!isLast()) sender.send(testFrame(macs[1], macs[0], 8));
    return isLast();
  });
  const kept = slow.frames.filter((each) => each.length === frame.length).length;
  // Twice the batch, one being written and one waiting, and what the kernel and the reader hold.
  assert.ok(kept > 100 && kept * frame.length < 10 << 20, `${kept} frames were kept`);
});

test('a hello says what it means, or nothing', () => {
  const hello = {
    vmNumber: 7,
    mac: macs[0],
    epoch: 3,
    generation: 4,
    ipv4: ['10.86.0.9'],
    ipv6: ['fe80000000000000505400fffe000001'],
  };
  const { vm, generation, vlan, addresses } = decodeSwitchHello(
    encodeSwitchHello(hello).subarray(4),
  );
  assert.deepEqual([vm, generation], [7, portGeneration(3, 4)]);
  assert.equal(vlan, 0);
  assert.equal(decodeSwitchHello(encodeSwitchHello({ ...hello, vlan: 12 }).subarray(4)).vlan, 12);
  assert.deepEqual(addresses.ipv4, [0x0a560009]);
  assert.equal(Buffer.from(addresses.ipv6[0]!).toString('hex'), hello.ipv6[0]);
  for (const wrong of [
    { ...hello, vmNumber: 0 },
    { ...hello, vmNumber: 1.5 },
    { ...hello, epoch: 2 ** 21 },
    { ...hello, generation: -1 },
    { ...hello, mac: 'x' },
    { ...hello, vlan: 0 },
    { ...hello, vlan: 4095 },
    { ...hello, ipv4: ['10.86.0.256'] },
    { ...hello, ipv6: ['::1'] },
    { ...hello, ipv4: Array(65).fill('10.0.0.1') },
    { ...hello, ipv4: 'all' },
    null,
    [],
  ]) {
    const bytes = encodeSwitchHello(wrong as never).subarray(4);
    assert.throws(() => decodeSwitchHello(bytes), MalformedBytes, JSON.stringify(wrong));
  }
});

test('a path too long for a socket is refused with a remedy', async () => {
  const socket = new SwitchSocket(ethernet, 'vm', kept.log);
  await assert.rejects(socket.listen(join(folder, 'x'.repeat(120))), (error: unknown) => {
    assert.ok(error instanceof UmbraError);
    return error.code === 'socket-path-long';
  });
});
