/** What pages say, without a browser: the history of events, pairs and their places, evacuations. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EvacuationView } from '../../src/api/lifecycle-views.ts';
import type { EventView } from '../../src/api/views.ts';
import { concerns, withLive } from '../../src/console/pages/events/with-live.ts';
import { copiesOn, restingOn } from '../../src/console/pages/host/copies.ts';
import { linksOf } from '../../src/console/pages/host/links.ts';
import { outcomeOf } from '../../src/console/pages/host/outcome.ts';
import { arcOf, box, layoutOf, width } from '../../src/console/pages/topology/layout.ts';
import { nameSome, topologyOf } from '../../src/console/pages/topology/pairs.ts';
import { ft, host, vm } from './views.fixture.ts';

const event = (sequence: number, data: EventView['data'] = {}): EventView => ({
  ...{ sequence, time: '2026-01-01T00:00:00.000Z', kind: 'vm-created', text: '', data },
});
const numbers = (events: readonly EventView[]) => events.map(({ sequence }) => sequence);

describe('the history of events', () => {
  const pages = [
    { seen: 6, events: [event(5), event(6)] },
    { seen: 6, events: [event(3), event(4)] },
  ];

  test('is the past and what came since, newest first, nothing twice', () => {
    const { events, hasHole } = withLive(pages, [event(5), event(6), event(7), event(8)], null);
    assert.deepEqual(numbers(events), [8, 7, 6, 5, 4, 3]);
    assert.equal(hasHole, false);
  });

  test('of one VM has nothing of others', () => {
    const of = [{ seen: 6, events: [event(2, { vm: 'web' })] }];
    const live = [event(6), event(7, { vm: 'web' }), event(8, { vm: 'mail' })];
    const { events, hasHole } = withLive(of, live, 'web');
    assert.deepEqual(numbers(events), [7, 2]);
    assert.equal(hasHole, false);
  });

  test('knows when the live log has left something behind', () => {
    assert.equal(withLive(pages, [event(9), event(10)], null).hasHole, true);
    assert.equal(withLive([], [event(9)], null).hasHole, false, 'nothing is read yet');
  });

  test('of a host has what came from it and what went there', () => {
    assert.ok(concerns(event(1, { host: 'b', from: 'a' }), 'a'));
    assert.ok(concerns(event(1, { shadow: 'a' }), 'a'));
    assert.ok(!concerns(event(1, { vm: 'a' }), 'a'));
  });
});

describe('a host', () => {
  const vms = [
    vm('web'),
    vm('mail', {
      ft: ft({ primary: { host: 'b', pid: 1 }, shadow: { host: 'a', pid: 2, lagMs: 0 } }),
    }),
    vm('plain', { ft: ft({ state: 'notConfigured', shadow: null }) }),
    vm('old', { state: 'poweredOff', ft: ft({ state: 'enabled', primary: null, shadow: null }) }),
  ];

  test('has primaries first, each with its other half', () => {
    assert.deepEqual(
      copiesOn(vms, 'a').map(({ vm: { name }, role, other }) => [name, role, other]),
      [
        ['web', 'primary', 'b'],
        ['plain', 'primary', undefined],
        ['mail', 'shadow', 'b'],
      ],
    );
    assert.deepEqual(
      restingOn(vms, 'a').map(({ name }) => name),
      ['old'],
    );
  });
});

test('links: a trunk that one end tells of is up; logs go there and come from there', () => {
  const hosts = [
    host('a', { trunks: [{ peer: 'b', roundTripMs: 0.2 }] }),
    host('b'),
    host('c', { trunks: [{ peer: 'a', roundTripMs: null }] }),
    host('d'),
  ];
  const back = { primary: { host: 'c', pid: 1 }, shadow: { host: 'a', pid: 2, lagMs: 0 } };
  const vms = [vm('web'), vm('mail', { ft: ft(back) })];
  assert.deepEqual(linksOf(hosts[0]!, hosts, vms), [
    { peer: 'b', trunk: { peer: 'b', roundTripMs: 0.2 }, out: ['web'], in: [] },
    { peer: 'c', trunk: { peer: 'a', roundTripMs: null }, out: [], in: ['mail'] },
    { peer: 'd', trunk: null, out: [], in: [] },
  ]);
});

describe('the outcome of an evacuation', () => {
  type Move = EvacuationView['moves'][number];
  const move = (changes: Partial<Move>): Move => ({
    ...{ vm: 'web', copy: 'live', how: 'take-over', to: 'b', why: null },
    ...{ shadow: { to: 'c', why: null }, ...changes },
  });

  test('is good if all move and stay protected', () => {
    assert.equal(outcomeOf('a', { moves: [] }).tone, 'good');
    assert.equal(outcomeOf('a', { moves: [move({})] }).tone, 'good');
  });

  test('names who would run without protection, and says if the host would not be empty', () => {
    const bare = move({ shadow: { to: null, why: 'no room' } });
    const found = outcomeOf('a', { moves: [move({ vm: 'mail' }), bare] });
    assert.equal(found.tone, 'warn');
    assert.match(found.text, /: web\.$/);
    const stuck = move({ to: null, why: 'no room', shadow: null });
    assert.match(outcomeOf('a', { moves: [stuck, bare] }).text, /^1 copy of 2 .* not become empty/);
  });
});

describe('the topology', () => {
  const hosts = ['a', 'b', 'c'].map((name) => host(name));

  test('has a pair for each direction, and who has no shadow', () => {
    const back = { primary: { host: 'b', pid: 1 }, shadow: { host: 'a', pid: 2, lagMs: 0 } };
    const vms = [
      vm('web'),
      vm('mail'),
      vm('back', { ft: ft({ ...back, state: 'starting' }) }),
      vm('plain', { ft: ft({ state: 'notConfigured', shadow: null }) }),
      vm('alone', { ft: ft({ state: 'needShadow', shadow: null }) }),
    ];
    const { nodes, pairs } = topologyOf([...hosts, host('g', { kind: 'gateway' })], vms);
    assert.deepEqual(
      pairs.map(({ id, running, starting }) => [id, running, starting]),
      [
        ['a>b', ['web', 'mail'], []],
        ['b>a', [], ['back']],
      ],
    );
    assert.deepEqual(
      nodes.map(({ primaries, shadows }) => [primaries, shadows]),
      [
        [4, 1],
        [1, 2],
        [0, 0],
      ],
    );
    assert.deepEqual([nodes[0]!.degraded, nodes[0]!.unprotected], [['alone'], ['plain']]);
  });

  test('keeps hosts apart and inside of the picture, however many', () => {
    for (const number of [1, 2, 3, 4, 7, 10, 11, 50]) {
      const layout = layoutOf(Array.from({ length: number }, (_, at) => `host${at}`));
      const places = [...layout.at.values()];
      const [w, h] = layout.isDense ? [13, 13] : [box.width, box.height];
      for (const [at, one] of places.entries()) {
        assert.ok(one.x >= w / 2 && one.x <= width - w / 2, `${number}: ${one.x}`);
        assert.ok(one.y >= h / 2 && one.y <= layout.height - h / 2, `${number}: ${one.y}`);
        for (const other of places.slice(at + 1)) {
          const isApart = Math.abs(one.x - other.x) >= w || Math.abs(one.y - other.y) >= h;
          assert.ok(isApart, `${number} hosts: two in one place`);
        }
      }
    }
  });

  test('draws A for B and B for A as two arcs', () => {
    const layout = layoutOf(['a', 'b']);
    const [a, b] = [layout.at.get('a')!, layout.at.get('b')!];
    const [there, back] = [arcOf(a, b, layout), arcOf(b, a, layout)];
    assert.ok(Math.abs(there.middle.y - back.middle.y) > 20);
    assert.doesNotMatch(there.path, /NaN/);
  });

  test('names some of many', () => {
    assert.equal(nameSome(['a', 'b'], 2), 'a, b');
    assert.equal(nameSome(['a', 'b', 'c', 'd'], 2), 'a, b and 2 more');
  });
});
