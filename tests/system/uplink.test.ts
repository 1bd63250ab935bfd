/**
 * Guests on a real LAN: two hosts whose uplinks are TAP devices on one Linux bridge, a client in
 * another namespace on that bridge, and no gateway. All processes are the ones that a user starts.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  Lab,
  type LabProcess,
  labMissing,
  type Machine,
  pause,
  until,
} from '../network/lab.fixture.ts';
import { lanAddress, lanAddress6 } from '../network/lan-guest.fixture.ts';

const why = labMissing();
const options = { skip: why ?? false, timeout: 60_000 };

let lab: Lab;
let hosts: Machine;
let desk: Machine;
let number: number;
let mac: string;
const daemons = new Map<string, LabProcess>();
const address = (): string => lanAddress(number);
const address6 = (): string => lanAddress6(number);

async function startHost(name: string): Promise<void> {
  daemons.set(name, await lab.startDaemon(hosts, 'host', name, '--uplink', 'lan'));
}

before(async () => {
  if (why !== undefined) return;
  lab = new Lab();
  hosts = lab.machine('hosts');
  desk = lab.machine('desk');
  lab.wire(desk, 'lan0', hosts, 'desk');
  hosts.bridge('lan', 'desk');
  desk.ip('addr', 'add', '10.99.0.200/24', 'dev', 'lan0');
  desk.ip('addr', 'add', 'fd99::200/64', 'dev', 'lan0', 'nodad');
  // Entries of neighbours are young here, and may change nonetheless.
  desk.run('sysctl', '-qw', 'net.ipv4.neigh.lan0.locktime=0');
  await lab.startCenter(hosts);
  await Promise.all([startHost('red'), startHost('blue')]);
  ({ number, mac } = await lab.startVm('counter', { ft: true }));
});

after(() => lab?.close());

/** The TAP device of a host, as its log names it. */
function tapOf(host: string): string {
  return [
    ...daemons
      .get(host)!
      .log()
      .matchAll(/uplink at (\w+), a port of lan/g),
  ].at(-1)![1]!;
}

test('a client on the LAN reaches the guest at its own address', options, async () => {
  await until('an answer to ping', () => desk.pings(address()));
  await until('an answer by IPv6', () => desk.pings(address6()));
  assert.equal(desk.neighbour(address()), mac);
  assert.equal(desk.neighbour(address6()), mac);
  assert.equal(hosts.portOf(mac), tapOf((await lab.primaryOf('counter'))!));
  await until('an answer to ARP', () =>
    desk.succeeds('arping', '-c', '1', '-w', '2', '-I', 'lan0', address()),
  );
});

test('a broadcast passes the LAN once, trunks or not', options, async () => {
  const packets = (): number => {
    const [{ stats64 }] = JSON.parse(desk.ip('-j', '-s', 'link', 'show', 'lan0'));
    return stats64.rx.packets + stats64.tx.packets;
  };
  const before = packets();
  // Nobody has this address, so that only the question is counted.
  assert.ok(!desk.succeeds('arping', '-c', '3', '-w', '6', '-I', 'lan0', '10.99.0.250'));
  const after = packets();
  assert.ok(
    after - before >= 3 && after - before < 30,
    `${after - before} packets for 3 questions`,
  );
});

test(
  'killed: a connection goes on, and the LAN finds the guest on the other host',
  options,
  async (t) => {
    const client = lab.client(desk, address());
    await client.progress(50);
    mislead(address6());
    const { host: lost } = await lab.strike('counter', 'SIGKILL');
    const report = await client.progress(200);
    t.diagnostic(`the longest time without an answer: ${report.longestGapMs} ms`);
    assert.equal(report.problem, undefined);
    const now = await until('the other host to be known', async () => {
      const host = await lab.primaryOf('counter');
      return host !== lost && host;
    });
    assert.equal(hosts.portOf(mac), tapOf(now));
    assert.equal(desk.neighbour(address6()), mac, 'told by a neighbour advertisement');
    // A bridge that snoops sends neighbours' questions where somebody has asked for them.
    const group = `ff02::1:ff00:${number.toString(16)}`;
    assert.ok(hosts.portsOfGroup(group).includes(tapOf(now)), 'told by a report of its groups');
    await until('an answer by IPv6', () => desk.pings(address6()));
    client.close();
    await startHost(lost);
    await lab.protected('counter');
  },
);

test('silent: the same, and the host that wakes up turns nothing back', options, async (t) => {
  const client = lab.client(desk, address6());
  await client.progress(50);
  mislead(address());
  const { host: lost, pids, vms } = await lab.strike('counter', 'SIGSTOP');
  const report = await client.progress(200);
  t.diagnostic(`the longest time without an answer: ${report.longestGapMs} ms`);
  const now = await until('the other host to be known', async () => {
    const host = await lab.primaryOf('counter');
    return host !== lost && host;
  });
  assert.equal(hosts.portOf(mac), tapOf(now));
  assert.equal(desk.neighbour(address()), mac, 'told by a gratuitous ARP');
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  const places = new Set<string | undefined>();
  await until('the stale copy to end', async () => {
    places.add(hosts.portOf(mac));
    return (await lab.pidsOf(lost)).vms.every((pid) => !vms.includes(pid));
  });
  for (let look = 0; look < 20; look++) {
    places.add(hosts.portOf(mac));
    await pause(20);
  }
  assert.deepEqual([...places], [tapOf(now)], 'the bridge has looked for the guest elsewhere');
  assert.equal((await client.progress(50)).problem, undefined);
  client.close();
  await lab.protected('counter');
});

test('a VLAN on the LAN is one with its VMs, and apart from all others', options, async () => {
  const tagged = await lab.startVm('tagged', { vlan: 30 });
  const probe = lab.probe(hosts, 'lan');
  const found = (vlan: number, at: string) =>
    until(`an answer of ${at}`, async () => (await probe(vlan, at)) ?? false);
  assert.equal(await found(30, lanAddress(tagged.number)), tagged.mac);
  assert.equal(await found(0, address()), mac);
  assert.equal(await probe(0, lanAddress(tagged.number)), null, 'not on the untagged LAN');
  assert.equal(await probe(30, address()), null, 'nor the untagged one in the VLAN');
  assert.equal(await probe(31, lanAddress(tagged.number)), null, 'nor in any other');
});

/** The desk believes that an address is at a MAC that nobody has, until it is told better. */
function mislead(of: string): void {
  desk.ip('neigh', 'replace', of, 'lladdr', '02:00:00:00:00:99', 'dev', 'lan0', 'nud', 'reachable');
}
