/**
 * The gateway against a real Linux TCP/IP stack: a network namespace is the guest, plain sockets on
 * the loopback are the outside. All traffic stays in the namespace and on the loopback.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SeededRandom } from '../../src/base/random.ts';
import { AddressLearner, announcementFrames } from '../../src/network/announcements.ts';
import { buildGratuitousArp } from '../../src/network/frames/arp.ts';
import {
  copyBytes,
  formatIpv4,
  formatIpv6,
  formatMac,
  parseIpv4Text,
  parseMacText,
} from '../../src/network/wire.ts';
import { type Fault, GatewayHost } from './gateway-host.fixture.ts';
import { missing, Namespace } from './namespace.fixture.ts';

const why = missing();
const options = { skip: why ?? false, timeout: 60_000 };
const gatewayText = '10.7.0.1';
const guestText = '10.7.0.15';
const guestMac = '52:54:00:07:00:0f';
const guest = parseIpv4Text(guestText)!;
const MIB = 1 << 20;

let host: GatewayHost;
let namespace: Namespace;
const cleanups: (() => void)[] = [];

before(async () => {
  if (why !== undefined) return;
  host = new GatewayHost({
    mac: parseMacText('52:54:00:07:00:01')!,
    address: parseIpv4Text(gatewayText)!,
    prefixLength: 24,
    hostLoopback: true,
    domain: 'umbra.internal',
    names: new Map([['db', parseIpv4Text('10.7.0.99')!]]),
    reservations: new Map([[parseMacText(guestMac)!, guest]]),
  });
  namespace = new Namespace();
  await host.listen(namespace.socket);
  await namespace.join(guestMac);
  namespace.ip('addr', 'add', `${guestText}/24`, 'dev', 'tap0');
  namespace.ip('route', 'add', 'default', 'via', gatewayText);
});

after(() => {
  if (why !== undefined) return;
  for (const cleanup of cleanups) cleanup();
  host.close();
  namespace.close();
});

interface Report {
  sent: string;
  received: string;
  bytes: number;
  seconds: number;
}

/** Sends `bytes` of noise, ends, reads all; the hash of both. */
async function exchange(socket: net.Socket, bytes: number): Promise<Report> {
  const started = performance.now();
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let count = 0;
  socket.on('data', (chunk) => {
    received.update(chunk);
    count += chunk.length;
  });
  const ended = once(socket, 'end');
  const random = new SeededRandom(bytes);
  const noise = random.bytes(65_537);
  for (let left = bytes; left > 0; left -= noise.length) {
    const part = noise.subarray(0, left);
    sent.update(part);
    if (!socket.write(part)) await once(socket, 'drain');
  }
  socket.end();
  await ended;
  const seconds = (performance.now() - started) / 1000;
  return { sent: sent.digest('hex'), received: received.digest('hex'), bytes: count, seconds };
}

/** A server on the loopback that takes one connection. */
async function serve(bytes: number): Promise<{ port: number; report: Promise<Report> }> {
  const server = net.createServer({ allowHalfOpen: true });
  cleanups.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const report = once(server, 'connection').then(async ([socket]) => {
    server.close();
    return exchange(socket as net.Socket, bytes);
  });
  return { port: (server.address() as net.AddressInfo).port, report };
}

/** The guest connects out and both sides send. */
async function outbound(guestBytes: number, hostBytes: number): Promise<[Report, Report]> {
  const { port, report } = await serve(hostBytes);
  const text = await namespace.guest('client', gatewayText, String(port), String(guestBytes));
  return check(JSON.parse(text), await report, guestBytes, hostBytes);
}

let nextGuestPort = 8000;

/** A client on the loopback connects to a published port and both sides send. */
async function inbound(guestBytes: number, hostBytes: number): Promise<[Report, Report]> {
  const guestPort = nextGuestPort++;
  const server = await namespace.startGuest('server', String(guestPort), String(guestBytes));
  const port = await host.publish(guest, guestPort);
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const report = await exchange(socket, hostBytes);
  return check(JSON.parse(await server.output), report, guestBytes, hostBytes);
}

function check(a: Report, b: Report, aBytes: number, bBytes: number): [Report, Report] {
  assert.equal(b.bytes, aBytes);
  assert.equal(a.bytes, bBytes);
  assert.equal(b.received, a.sent, 'what the guest sent arrived otherwise');
  assert.equal(a.received, b.sent, 'what the host sent arrived otherwise');
  return [a, b];
}

function lossy(seed: number, loss: number): Fault {
  const random = new SeededRandom(seed);
  return (frame, pass) => {
    if (random.chance(loss)) return;
    const copies = random.chance(0.01) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (!random.chance(0.01)) pass(frame);
      else {
        const kept = copyBytes(frame);
        setTimeout(() => pass(kept), 1 + random.below(3));
      }
    }
  };
}

test('the guest pings the gateway', options, async () => {
  // Debian's busybox has ping; without it the kernel's own neighbour table is proof enough.
  await namespace.guest('connect', gatewayText, '1');
  assert.match(namespace.ip('neigh'), /10\.7\.0\.1 dev tap0 lladdr 52:54:00:07:00:01/);
  const text = await namespace.run('busybox', 'ping', '-c', '3', '-i', '0.2', gatewayText);
  assert.match(text, /3 packets received/);
});

test('outbound: megabytes both ways at once', options, async () => {
  await outbound(8 * MIB, 6 * MIB);
});

test('inbound through a published port: megabytes both ways at once', options, async () => {
  await inbound(6 * MIB, 8 * MIB);
});

test('a stream that only goes one way, and empty ones', options, async () => {
  await outbound(0, 0);
  await inbound(0, 0);
  await outbound(3 * MIB, 0);
  await inbound(0, 3 * MIB);
});

test('2 % loss, duplicates and reordering: every byte, both ways', options, async () => {
  host.fault = lossy(1, 0.02);
  try {
    await outbound(3 * MIB, 3 * MIB);
    await inbound(3 * MIB, 3 * MIB);
  } finally {
    host.fault = undefined;
  }
});

test('many connections at once', options, async () => {
  await Promise.all(Array.from({ length: 12 }, (_, i) => outbound(100_000 + i, 50_000 + i)));
});

test('a refused connection is refused, in both directions', options, async () => {
  assert.equal(await namespace.guest('connect', gatewayText, '1'), 'ConnectionRefusedError');
  const port = await host.publish(guest, 1);
  const socket = net.connect(port, '127.0.0.1');
  await assert.rejects(once(socket, 'end'), { code: 'ECONNRESET' });
});

test('a guest that does not read holds back the host, within bounds', options, async () => {
  const child = await namespace.startGuest('listen', '7999');
  const port = await host.publish(guest, 7999);
  const socket = net.connect(port, '127.0.0.1');
  const before = process.memoryUsage().arrayBuffers;
  socket.on('error', () => {});
  let taken = 0;
  const feed = (): void => {
    while (taken < 64 * MIB) {
      taken += 65_536;
      if (!socket.write(new Uint8Array(65_536))) return;
    }
  };
  socket.on('drain', feed);
  feed();
  // Until nothing more is read from the host for a second; all that there is would be too much.
  for (let last = -1; last !== taken; await sleep(1_000)) last = taken;
  // The guest's kernel and the loopback's hold some megabytes each; the gateway one and a bit.
  assert.ok(taken < 24 * MIB, `${taken} bytes were taken`);
  assert.ok(process.memoryUsage().arrayBuffers - before < 32 * MIB);
  socket.destroy();
  child.kill();
});

test('after an announcement the lost segments go again at once', options, async (t) => {
  const server = await namespace.startGuest('server', '7998', '100000');
  const port = await host.publish(guest, 7998);
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  await once(socket, 'connect');
  socket.write('first');
  await sleep(100);
  // The guest's host is gone: nothing arrives for long enough that time-outs have doubled.
  host.fault = () => {};
  const report = exchange(socket, 50_000);
  await sleep(1900);
  let again = 0;
  host.fault = (frame, pass) => {
    again++;
    pass(frame);
  };
  const liveAt = performance.now();
  host.receive(buildGratuitousArp(parseMacText(guestMac)!, guest));
  host.fault = undefined;
  // The next time-out would have come more than a second later.
  assert.ok(again > 0, 'nothing went again at once');
  const { bytes } = await report;
  assert.equal(bytes, 100_000);
  assert.equal(JSON.parse(await server.output).bytes, 50_005);
  const milliseconds = performance.now() - liveAt;
  assert.ok(milliseconds < 500, `${milliseconds} ms`);
  t.diagnostic(`${milliseconds.toFixed(1)} ms from the announcement to the guest's last byte`);
});

test(
  'what Linux sends teaches its addresses; what we announce moves them in Linux',
  options,
  async () => {
    const learner = new AddressLearner();
    host.observe = (frame) => learner.observe(frame);
    await namespace.run('busybox', 'arping', '-c', '1', '-I', 'tap0', gatewayText);
    await assert.rejects(namespace.run('busybox', 'ping', '-6', '-c1', '-W1', 'fe80::1%tap0'));
    host.observe = undefined;
    const [own, ...others] = learner.addresses();
    assert.deepEqual([formatMac(own!.mac), others], [guestMac, []]);
    assert.deepEqual(own!.ipv4.map(formatIpv4), [guestText]);
    assert.deepEqual(own!.ipv6.map(formatIpv6), ['fe80::5054:ff:fe07:f']);

    const [oldMac, newMac] = ['52:54:00:00:00:01', '52:54:00:00:00:02'];
    for (const address of ['10.7.0.77', 'fe80::77']) {
      namespace.ip('neigh', 'add', address, 'lladdr', oldMac, 'dev', 'tap0', 'nud', 'stale');
    }
    const mac = parseMacText(newMac)!;
    const ipv6 = Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77);
    host.inject(announcementFrames([{ mac, ipv4: [parseIpv4Text('10.7.0.77')!], ipv6: [ipv6] }]));
    const moved = [/10\.7\.0\.77 dev tap0 lladdr (\S+)/, /fe80::77 dev tap0 lladdr (\S+)/];
    for (const end = performance.now() + 10_000; ; await sleep(20)) {
      const table = namespace.ip('neigh') + namespace.ip('-6', 'neigh');
      if (moved.every((line) => line.exec(table)?.[1] === newMac)) break;
      assert.ok(performance.now() < end, table);
    }
  },
);

test('datagrams: whole and fragmented, answered and refused', options, async () => {
  const echo = dgram.createSocket('udp4');
  cleanups.push(() => echo.close());
  echo.on('message', (message, from) => echo.send(message, from.port, from.address));
  await new Promise<void>((resolve) => echo.bind(0, '127.0.0.1', resolve));
  const port = String(echo.address().port);
  const sums = await Promise.all(
    ['10', '1472', '1473', '9000'].map((bytes) =>
      namespace.guest('datagram', gatewayText, port, bytes),
    ),
  );
  assert.equal(new Set(sums).size, 4);
  assert.ok(
    sums.every((sum) => /^[0-9a-f]{64}$/.test(sum)),
    sums.join(),
  );
  assert.equal(await namespace.guest('datagram', gatewayText, '9', '10'), 'ConnectionRefusedError');
});

test('names of the cluster are answered by the gateway', options, async () => {
  const text = await namespace.run(
    'busybox',
    'nslookup',
    '-type=a',
    'db.umbra.internal',
    gatewayText,
  );
  assert.match(text, /Address: 10\.7\.0\.99/);
});

test('a real DHCP client gets address, router and name server', options, async () => {
  const script = join(namespace.folder, 'dhcp.sh');
  writeFileSync(
    script,
    '#!/bin/sh\n[ "$1" = bound ] && echo "$ip $subnet $router $dns $lease $mtu"\nexit 0\n',
    {
      mode: 0o755,
    },
  );
  assert.ok(existsSync(script));
  const text = await namespace.run(
    'busybox',
    'udhcpc',
    '-f',
    '-q',
    '-n',
    '-t',
    '3',
    '-i',
    'tap0',
    '-s',
    script,
    '-O',
    'mtu',
  );
  assert.match(text, /10\.7\.0\.15 255\.255\.255\.0 10\.7\.0\.1 10\.7\.0\.1 86400 1500/);
  assert.equal(host.gateway.leaseOf(parseMacText(guestMac)!), guest);
});

test('throughput, for the record', options, async (t) => {
  const bytes = 96 * MIB;
  const mbit = (seconds: number): string => ((bytes * 8) / seconds / 1e6).toFixed(0);
  const [, out] = await outbound(bytes, 0);
  const [into] = await inbound(0, bytes);
  t.diagnostic(`guest sends ${mbit(out.seconds)} Mbit/s, receives ${mbit(into.seconds)} Mbit/s`);
});
