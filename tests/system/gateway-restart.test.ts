/**
 * A gateway that is killed and started again, by the commands that a user types: leases, published
 * ports and the guests' connections to come are what they were. The guests are our own TCP on the
 * socket of a host's switch (src/host/echo-guest.fixture.ts); all sockets are on loopback.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '../../src/api/client.ts';
import { readPersonCredentials } from '../../src/api/credentials.ts';
import { freePort } from '../../src/cli/demo/ports.ts';
import { EchoGuest } from '../../src/host/echo-guest.fixture.ts';
import { VmEnd } from '../../src/host/ethernet.fixture.ts';
import { parseMacText } from '../../src/network/wire.ts';
import { writeImage } from '../network/lan-guest.fixture.ts';
import { temporaryFolder } from './umbra.fixture.ts';
import { pause } from './vm-hosts.fixture.ts';

const program = resolve(import.meta.dirname, '../../src/cli/main.ts');
const options = { timeout: 60_000 };
const folder = temporaryFolder();
const home = join(folder.path, 'home');
const children = new Map<string, ChildProcess>();
let client: Client;
let url: string;

function umbra(name: string, ...args: string[]): ChildProcess {
  const log = openSync(join(folder.path, `${name}.log`), 'a');
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', log, log],
    env: { ...process.env, UMBRA_HOME: home },
  });
  closeSync(log);
  children.set(name, child);
  return child;
}

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await look())) {
    assert.ok(performance.now() < deadline, `not within 30 s: ${what}`);
    await pause(10);
  }
}

async function start(kind: 'host' | 'gateway', name: string, ...own: string[]): Promise<void> {
  const { token } = await client.call('createJoinToken', { body: {} });
  const where = ['--data', join(folder.path, name), '--name', name, '--trunk-address', '127.0.0.1'];
  umbra(name, kind, 'start', '--join', url, '--token', token, ...where, ...own);
  const { pid } = children.get(name)!;
  await until(`${name} to join`, async () => {
    const hosts = await client.call('listHosts');
    return hosts.some((host) => host.name === name && host.pid === pid);
  });
}

const startGateway = (): Promise<void> =>
  start('gateway', 'gate', '--publish-address', '127.0.0.1');

async function killGateway(): Promise<void> {
  const gateway = children.get('gate')!;
  gateway.kill('SIGKILL');
  if (gateway.signalCode === null) await once(gateway, 'exit');
}

/** A guest on the host's switch. */
function plug(mac: number): EchoGuest {
  const end = new VmEnd(join(folder.path, 'red', 'qemu.sock'));
  const guest = new EchoGuest(mac, (frame) => end.send(frame));
  end.onFrame = (frame) => guest.receive(frame);
  return guest;
}

/** Asks until it is answered: the trunk may be on its way. */
async function addressOf(guest: EchoGuest): Promise<number> {
  guest.address = 0;
  let askedAt = 0;
  await until('an address', () => {
    if (guest.address === 0 && performance.now() - askedAt > 200) {
      askedAt = performance.now();
      guest.requestAddress();
    }
    return guest.address !== 0;
  });
  return guest.address;
}

/** One byte to the published port and back. */
async function echo(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write('x');
    await once(socket, 'data', { signal: AbortSignal.timeout(2_000) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

before(async () => {
  writeImage(home, 'none', new Uint8Array(4096));
  const data = join(folder.path, 'center');
  umbra('center', 'center', 'start', '--data', data, '--listen', '127.0.0.1:0');
  const admin = join(data, 'admin.json');
  await until('the center', () => existsSync(admin) && readFileSync(admin).length > 0);
  const credentials = readPersonCredentials(admin);
  ({ url } = credentials);
  client = new Client(url, credentials);
  await until('the center answers', () =>
    client.call('health').then(
      () => true,
      () => false,
    ),
  );
  await Promise.all([start('host', 'red'), startGateway()]);
});

after(async () => {
  client?.close();
  for (const child of children.values()) child.kill('SIGKILL');
  for (const child of children.values()) {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  folder.remove();
});

test('a killed gateway comes back with leases and published ports', options, async () => {
  const port = await freePort();
  const ports = [{ protocol: 'tcp' as const, gatewayPort: port, guestPort: 7 }];
  const { mac } = await client.call('createVm', { body: { name: 'web', image: 'none', ports } });
  const web = plug(parseMacText(mac)!);
  const other = plug(0x525400001002);
  const addresses = [await addressOf(web), await addressOf(other)];
  await until('the published port', () => echo(port));

  await killGateway();
  await startGateway();
  // The guest has done nothing: what leads to it was in the gateway's folder and at the center.
  await until('the published port again', () => echo(port));
  const newcomer = plug(0x525400001003);
  assert.ok(!addresses.includes(await addressOf(newcomer)), 'an address has one holder');
  assert.deepEqual([await addressOf(web), await addressOf(other)], addresses);
  for (const guest of [web, other, newcomer]) guest.close();
});

test('killed at any moment, it keeps every lease that it has acknowledged', options, async (t) => {
  const guests: EchoGuest[] = [];
  const acknowledged = new Map<EchoGuest, number>();
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 12; index++) {
      const guest = plug(0x525400002000 + guests.length);
      guests.push(guest);
    }
    // A frame that comes before the trunk is up is lost, as on any Ethernet: clients ask again.
    const ask = (): void => {
      for (const guest of guests) if (guest.address === 0) guest.requestAddress();
    };
    ask();
    const again = setInterval(ask, 500);
    await until('some are answered', () => guests.some((guest) => guest.address !== 0));
    clearInterval(again);
    await pause(round * 3);
    await killGateway();
    // What was under way in the trunk and the switch arrives, and counts.
    await pause(50);
    for (const guest of guests) {
      if (guest.address !== 0) acknowledged.set(guest, guest.address);
      guest.address = 0;
    }
    await startGateway();
    // Backwards, so that an empty gateway would give them other ones.
    for (const [guest, address] of [...acknowledged].reverse()) {
      assert.equal(await addressOf(guest), address);
    }
  }
  const addresses = await Promise.all(guests.map(addressOf));
  assert.equal(new Set(addresses).size, guests.length);
  t.diagnostic(`${acknowledged.size} of ${guests.length} leases were given before a kill`);
  for (const guest of guests) guest.close();
});
