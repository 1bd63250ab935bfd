/**
 * The gateway's process as clients and guests meet it: published ports of this machine on one side,
 * trunks to two hosts' network halves on the other, all sockets real and on loopback.
 */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatIpv4, formatMac } from '../network/wire.ts';
import { TestCenter } from './center.fixture.ts';
import { TestAuthority } from './certificates.fixture.ts';
import { EchoGuest } from './echo-guest.fixture.ts';
import { KeptLog, NetworkHalf, until, VmEnd } from './ethernet.fixture.ts';
import { GatewayProcess } from './gateway-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-gateway-'));
const guestMac = 0x525400000007;
const vm = { number: 7, mac: formatMac(guestMac), name: 'web' };
let authority: TestAuthority;
let center: TestCenter;
let red: NetworkHalf;
let blue: NetworkHalf;
let gateway: GatewayProcess;
let guest: EchoGuest;
let cable: VmEnd;
const kept = new KeptLog();
const data = join(folder, 'gate');

async function startGateway(): Promise<GatewayProcess> {
  const started = await GatewayProcess.start({
    url: center.url,
    dataDirectory: data,
    name: 'gate',
    trunkAddress: '127.0.0.1',
    publishAddress: '127.0.0.1',
    log: kept.log,
  });
  await until('hello', () => center.all('gate', 'hello').length > 0);
  return started;
}

function plug(half: NetworkHalf, generation: number): VmEnd {
  const end = new VmEnd(half.socketPath);
  end.onFrame = (frame) => guest.receive(frame);
  const ipv4 = guest.address === 0 ? [] : [formatIpv4(guest.address)];
  end.hello({ vmNumber: vm.number, mac: vm.mac, generation, ipv4 });
  guest.send = (frame) => end.send(frame);
  return end;
}

function publish(gatewayPort = 0): void {
  const ports = [
    { protocol: 'tcp' as const, gatewayPort, guestPort: 7 },
    { protocol: 'udp' as const, gatewayPort, guestPort: 7 },
  ];
  center.say('gate', { kind: 'publish', vms: [{ ...vm, ports }] });
}

before(async () => {
  authority = await TestAuthority.create(folder);
  center = await TestCenter.start(authority);
  await authority.issue('gate', data, { kind: 'gateway' });
  red = new NetworkHalf(await authority.issue('red'), folder);
  blue = new NetworkHalf(await authority.issue('blue'), folder);
  await red.start();
  await blue.start();
  gateway = await startGateway();
  await meet();
  guest = new EchoGuest(guestMac, () => {});
  cable = plug(red, 1);
  guest.requestAddress();
  await until('the guest has an address', () => guest.address !== 0);
  publish();
  await until('published', () => gateway.portOf('udp', 0) !== undefined);
});

after(async () => {
  guest.close();
  cable.close();
  await gateway.close();
  await red.close();
  await blue.close();
  center.close();
  rmSync(folder, { recursive: true, force: true });
});

/** All three know each other, and their trunks are up. */
async function meet(): Promise<void> {
  center.sayPeers([red.peer, blue.peer]);
  const hello = center.all('gate', 'hello').at(-1)!;
  const { trunkAddress, trunkPort } = hello;
  const peer = { id: 'gate', name: 'gate', kind: 'gateway', trunkAddress, trunkPort } as const;
  for (const half of [red, blue]) half.trunks.setPeers([red.peer, blue.peer, peer]);
  await until('trunks up', () => red.trunks.isUp('gate') && blue.trunks.isUp('gate'));
}

async function connectTcp(): Promise<net.Socket> {
  const socket = net.connect(gateway.portOf('tcp', 0)!, '127.0.0.1');
  socket.setNoDelay(true);
  await once(socket, 'connect');
  return socket;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Sends one byte and waits for it. @returns the round trip in microseconds */
async function ping(socket: net.Socket): Promise<number> {
  const sent = performance.now();
  socket.write('x');
  await once(socket, 'data');
  return (performance.now() - sent) * 1000;
}

test('a request crosses gateway, trunk and switch to the guest and back', async (t) => {
  const socket = await connectTcp();
  for (let round = 0; round < 100; round++) await ping(socket);
  // A machine can be slow for some tenths of a second: five batches that are apart.
  const medians: number[] = [];
  for (let batch = 0; batch < 5; batch++) {
    const trips: number[] = [];
    for (let round = 0; round < 100; round++) trips.push(await ping(socket));
    medians.push(Math.round(median(trips)));
    await sleep(100);
  }
  t.diagnostic(`round trip: medians ${medians} us`);
  assert.ok(median(medians) < 2000, `medians ${medians} us`);
  socket.end();
  await once(socket, 'close');
});

test('megabytes come back as they were', async () => {
  const socket = await connectTcp();
  const bytes = new Uint8Array(4 << 20).map((_, at) => at * 7 + (at >> 8));
  const got: Buffer[] = [];
  socket.on('data', (chunk) => got.push(chunk));
  socket.end(bytes);
  await once(socket, 'end');
  assert.ok(Buffer.concat(got).equals(bytes));
});

test('a datagram is answered to its own sender', async () => {
  const port = gateway.portOf('udp', 0)!;
  const senders = [createSocket('udp4'), createSocket('udp4')];
  for (const [index, sender] of senders.entries()) {
    sender.send(`from ${index}`, port, '127.0.0.1');
    const [answer] = (await once(sender, 'message')) as [Buffer];
    assert.equal(String(answer), `from ${index}`);
    sender.close();
  }
});

test('a connection goes on when its guest goes live on another host', async (t) => {
  const socket = await connectTcp();
  const waits: number[] = [];
  for (const [half, generation] of [
    [blue, 2],
    [red, 3],
    [blue, 4],
  ] as const) {
    await ping(socket);
    // The host stops in the middle: what the client sends now is for a guest that is nowhere.
    cable.close();
    socket.write('y');
    const answer = once(socket, 'data');
    await sleep(30);
    const live = performance.now();
    cable = plug(half, generation);
    await answer;
    waits.push(Math.round(performance.now() - live));
  }
  t.diagnostic(`answered ${waits} ms after the go-live`);
  // TCP's own retransmission comes later.
  assert.ok(median(waits) < 150, `not at once: ${waits} ms`);
  await ping(socket);
  socket.destroy();
});

test('a taken port is reported, and the gateway lives on', async () => {
  const taken = net.createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as net.AddressInfo;
  const failures = center.all('gate', 'failed').length;
  publish(port);
  await until('reported', () => center.all('gate', 'failed').length > failures);
  const failed = center.all('gate', 'failed').at(-1)!;
  assert.deepEqual([failed.vm, failed.command, failed.code], ['web', 'publish', 'port-taken']);
  taken.close();
  await once(taken, 'close');
  publish(port);
  await until('published once free', () => gateway.portOf('tcp', port) === port);
  publish();
  await until('published', () => gateway.portOf('udp', 0) !== undefined);
});

test('a restarted gateway knows the leases', async () => {
  await gateway.close();
  gateway = await startGateway();
  await until('hello again', () => center.all('gate', 'hello').length > 1);
  await meet();
  publish();
  await until('published', () => gateway.portOf('udp', 0) !== undefined);
  const socket = await connectTcp();
  await ping(socket);
  socket.destroy();
});
