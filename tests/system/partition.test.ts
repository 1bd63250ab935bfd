/**
 * Cables pulled between machines: two hosts and a center in namespaces of their own, with a network
 * each for the center, the trunks, the log channel and the guests' LAN. Whatever is cut, one client
 * goes on counting over one connection, and at no time do two copies of the guest speak.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  Lab,
  type LanClient,
  labMissing,
  type Machine,
  pause,
  until,
} from '../network/lab.fixture.ts';
import { lanAddress } from '../network/lan-guest.fixture.ts';

const why = labMissing();
const options = { skip: why ?? false, timeout: 90_000 };
const networks = { mgmt: '10.1.0', trunk: '10.2.0', log: '10.3.0' } as const;
type Network = keyof typeof networks | 'lan';
const all: readonly Network[] = ['mgmt', 'trunk', 'log', 'lan'];

let lab: Lab;
/** The switches of all networks. */
let core: Machine;
let client: LanClient;

async function startHost(name: string, last: number): Promise<void> {
  const host = lab.machine(name);
  // What leaves this machine for the LAN is the guest's word alone, so that silence can be seen.
  host.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
  for (const [network, prefix] of Object.entries(networks)) {
    lab.wire(host, `${network}0`, core, `${name}-${network}`);
    core.ip('link', 'set', `${name}-${network}`, 'master', network);
    host.ip('addr', 'add', `${prefix}.${last}/24`, 'dev', `${network}0`);
  }
  lab.wire(host, 'lan0', core, `${name}-lan`);
  core.ip('link', 'set', `${name}-lan`, 'master', 'lan');
  host.bridge('br0', 'lan0');
  const addresses = ['--trunk-address', `10.2.0.${last}`, '--log-address', `10.3.0.${last}`];
  await lab.startDaemon(host, 'host', name, ...addresses, '--uplink', 'br0');
}

before(async () => {
  if (why !== undefined) return;
  lab = new Lab();
  core = lab.machine('core');
  core.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1');
  for (const network of all) core.bridge(network);
  const center = lab.machine('center');
  lab.wire(center, 'mgmt0', core, 'center-mgmt');
  core.ip('link', 'set', 'center-mgmt', 'master', 'mgmt');
  center.ip('addr', 'add', '10.1.0.1/24', 'dev', 'mgmt0');
  const desk = lab.machine('desk');
  lab.wire(desk, 'lan0', core, 'desk-lan');
  core.ip('link', 'set', 'desk-lan', 'master', 'lan');
  desk.ip('addr', 'add', '10.99.0.200/24', 'dev', 'lan0');
  await lab.startCenter(center, '10.1.0.1:7443');
  await Promise.all([startHost('red', 11), startHost('blue', 12)]);
  const { number } = await lab.startVm('counter', { ft: true });
  client = lab.client(desk, lanAddress(number));
  await client.progress(20);
});

after(() => lab?.close());

const cut = (host: string, ...cables: readonly Network[]): void => {
  for (const network of cables) core.ip('link', 'set', `${host}-${network}`, 'down');
};
const mend = (host: string, ...cables: readonly Network[]): void => {
  for (const network of cables) core.ip('link', 'set', `${host}-${network}`, 'up');
};

async function pair(): Promise<{ primary: string; shadow: string; generation: number }> {
  await lab.protected('counter');
  const { primary, shadow, generation } = await lab.call('ftStatus', { params: { vm: 'counter' } });
  return { primary: primary!.host, shadow: shadow!.host, generation: generation! };
}

/** Frames that a host has sent to the LAN. */
function spoken(host: string): number {
  const [{ stats64 }] = JSON.parse(core.ip('-j', '-s', 'link', 'show', `${host}-lan`));
  return stats64.rx.packets;
}

/** While the client counts on, only this host speaks on the LAN. */
async function onlySpeaks(host: string, silent: string): Promise<void> {
  const before = { silent: spoken(silent), speaking: spoken(host) };
  await client.progress(100);
  assert.ok(spoken(host) - before.speaking >= 100, `${host} does not speak`);
  assert.equal(spoken(silent) - before.silent, 0, `${silent} speaks too`);
}

test(
  'the log cable alone: the primary goes on alone, and is protected again',
  options,
  async (t) => {
    const { primary, shadow, generation } = await pair();
    cut(primary, 'log');
    const { longestGapMs } = await client.progress(300);
    t.diagnostic(`the longest time without an answer: ${longestGapMs} ms`);
    await until('the primary to be alone', async () => {
      const status = await lab.call('ftStatus', { params: { vm: 'counter' } });
      return status.state !== 'running' && status.generation! > generation;
    });
    assert.equal(await lab.primaryOf('counter'), primary);
    await onlySpeaks(primary, shadow);
    mend(primary, 'log');
    const mended = performance.now();
    assert.equal((await pair()).primary, primary);
    t.diagnostic(`protected again ${Math.round(performance.now() - mended)} ms after the cable`);
    await onlySpeaks(primary, shadow);
  },
);

test('the trunk cable alone: nothing happens', options, async () => {
  const { primary, shadow, generation } = await pair();
  const trunkIsUp = async (): Promise<boolean> => {
    const hosts = await lab.call('listHosts');
    const { trunks } = hosts.find(({ name }) => name === primary)!;
    return trunks.some(({ peer }) => peer === shadow);
  };
  // A machine that stood still for a moment does so once; what the cable does, it does each time.
  const waits: number[] = [];
  do {
    await client.report();
    cut(primary, 'trunk');
    await until('the trunk to be down', async () => !(await trunkIsUp()));
    waits.push((await client.progress(100)).longestGapMs);
    assert.deepEqual(await pair(), { primary, shadow, generation });
    await onlySpeaks(primary, shadow);
    mend(primary, 'trunk');
    await until('the trunk to be up', trunkIsUp);
  } while (waits.at(-1)! >= 500 && waits.length < 3);
  assert.ok(waits.at(-1)! < 500, `the client waited ${waits} ms`);
});

test('the cable to the center alone: nothing happens while both copies live', options, async () => {
  const { primary, shadow, generation } = await pair();
  cut(primary, 'mgmt');
  await pause(1_000);
  await client.progress(100);
  await onlySpeaks(primary, shadow);
  mend(primary, 'mgmt');
  await until('the host is back', async () => {
    const hosts = await lab.call('listHosts');
    return hosts.every(({ state }) => state === 'connected');
  });
  assert.deepEqual(await pair(), { primary, shadow, generation });
});

test(
  'log and center: the primary holds its tongue on a LAN that it still has',
  options,
  async (t) => {
    const { primary, shadow } = await pair();
    cut(primary, 'log', 'mgmt');
    const { longestGapMs } = await client.progress(100);
    t.diagnostic(`the longest time without an answer: ${longestGapMs} ms`);
    assert.equal(await lab.primaryOf('counter'), shadow);
    await onlySpeaks(shadow, primary);
    mend(primary, 'log', 'mgmt');
    assert.equal((await pair()).primary, shadow);
    await onlySpeaks(shadow, primary);
  },
);

test(
  'every cable of the primary: the other host goes on, and stays when they are back',
  options,
  async (t) => {
    const { primary, shadow } = await pair();
    cut(primary, ...all);
    const { longestGapMs } = await client.progress(100);
    t.diagnostic(`the longest time without an answer: ${longestGapMs} ms`);
    assert.equal(await lab.primaryOf('counter'), shadow);
    mend(primary, ...all);
    await onlySpeaks(shadow, primary);
    assert.equal((await pair()).primary, shadow);
    await onlySpeaks(shadow, primary);
    assert.equal((await client.report()).problem, undefined);
  },
);
