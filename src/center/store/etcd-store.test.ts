/**
 * The store on a real etcd: what two centers see of each other's writes, that one which has lost the
 * lead writes nothing, and that of any number of asks at once, at any center, one is granted.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Ask, Member } from '../../lockstep/arbiter.ts';
import { Arbiter } from '../arbiter.ts';
import { until } from '../cluster.fixture.ts';
import { hasEtcd, TestEtcd } from './etcd.fixture.ts';
import { EtcdStore } from './etcd-store.ts';

const options = { skip: hasEtcd ? false : 'etcd-server is not installed' };
let etcd: TestEtcd;
const stores: EtcdStore[] = [];

before(async () => {
  if (hasEtcd) etcd = await TestEtcd.start();
});
after(async () => {
  for (const store of stores) await store.close();
  await etcd?.close();
});

async function open(id: string): Promise<EtcdStore> {
  const store = await EtcdStore.open({ endpoints: [etcd.endpoint], id });
  stores.push(store);
  return store;
}

const event = (text: string) => ({ time: '2026-01-01T00:00:00Z', kind: 'test', text, data: {} });

test('one leads, the other sees what it writes and may not write', options, async () => {
  const [a, b] = [await open('a'), await open('b')];
  await a.announce('https://a:1');
  await b.announce('https://b:1');
  assert.equal(await a.campaign(), true);
  assert.equal(await b.campaign(), false);
  a.transaction(() => {
    a.put('vms', 'v1', { name: 'one' });
    a.put('vms', 'v1', { name: 'changed' });
    a.put('daemons', 'd/with/slashes', { name: 'd' });
    a.appendEvent(event('first'));
  });
  a.put('vms', 'v2', { name: 'two' });
  a.remove('vms', 'v2');
  await a.settled();
  await until('the follower', () => b.get('daemons', 'd/with/slashes'));
  await until('the removal', () => (b.get('vms', 'v2') === undefined ? true : undefined));
  assert.deepEqual(b.all('vms'), [{ name: 'changed' }]);
  assert.equal(b.events({ after: 0, limit: 10 }).length, 1);
  assert.equal(b.leaderUrl, 'https://a:1');
  assert.throws(() => b.put('vms', 'v1', {}), { code: 'center-follows' });
});

test('a transaction that is refused leaves nothing', options, async () => {
  const [a] = stores as [EtcdStore];
  const refuse = () =>
    a.transaction(() => {
      a.put('vms', 'v1', { name: 'half' });
      a.appendEvent(event('half'));
      throw new Error('refused');
    });
  assert.throws(refuse, /refused/);
  assert.deepEqual(a.get('vms', 'v1'), { name: 'changed' });
  assert.equal(a.events({ after: 0, limit: 10 }).length, 1);
});

test('a leader that is thrown over writes nothing any more', options, async () => {
  const [a, b] = stores as [EtcdStore, EtcdStore];
  let lost = false;
  a.onLost = () => {
    lost = true;
  };
  // As if its lease had ended while it was frozen.
  await etcd.remove('umbra/leader');
  await until('the lead', async () => ((await b.campaign()) ? true : undefined));
  a.put('vms', 'v1', { name: 'by the old leader' });
  await assert.rejects(a.settled(), { code: 'center-follows' });
  assert.equal(lost, true);
  b.put('vms', 'v3', { name: 'by the new leader' });
  await b.settled();
  await until('the truth', () => a.get('vms', 'v3'));
  assert.deepEqual(a.get('vms', 'v1'), { name: 'changed' });
  assert.deepEqual(b.get('vms', 'v1'), { name: 'changed' });
});

test('many asks at two centers: one grant for each generation', options, async () => {
  const arbiters = stores.map((store) => new Arbiter(store));
  const [first, second] = arbiters as [Arbiter, Arbiter];
  await first.open(true);
  await first.create('v');
  await until('the other center', () => second.entry('v'));
  const members: Member[] = ['x', 'y', 'z'].map((host) => ({ host, process: `${host}1` }));
  for (let generation = 0; generation < 20; generation++) {
    const asks = members.map((member): Ask => {
      const operation = { kind: 'start', fenced: true, acceptStale: true } as const;
      const claimId = `${member.process}:${generation}`;
      return { vm: 'v', member, epoch: 1, generation, claimId, operation };
    });
    // Each at both, as a VM process asks.
    const replies = await Promise.all(asks.flatMap((ask) => [first.ask(ask), second.ask(ask)]));
    const granted = new Set(replies.filter((each) => each.granted).map((each) => each.claimId));
    assert.equal(granted.size, 1, `generation ${generation}: ${[...granted]}`);
    assert.equal(replies.filter((each) => each.granted).length, 2, 'both centers grant it');
  }
  assert.equal((await stores[0]!.read('v'))!.record.generation, 20);
});

test('etcd goes away and comes back: asks fail meanwhile, nothing is lost', options, async () => {
  const [, b] = stores as [EtcdStore, EtcdStore];
  b.put('vms', 'v4', { name: 'before' });
  await b.settled();
  await etcd.end();
  b.put('vms', 'v5', { name: 'meanwhile' });
  await assert.rejects(b.read('v'), { code: 'store-unreachable' });
  await etcd.start();
  const [a] = stores as [EtcdStore];
  // The lease may have ended or not: then it is as if it had never been said.
  const kept = await b.settled().then(
    () => true,
    () => false,
  );
  const leader = await until(
    'a leader',
    async () => {
      for (const store of [a, b]) if (store.leads || (await store.campaign())) return store;
      return undefined;
    },
    20_000,
  );
  assert.deepEqual(leader.get('vms', 'v4'), { name: 'before' });
  assert.equal(leader.get('vms', 'v5') !== undefined, kept);
});
