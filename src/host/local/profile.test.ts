import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position } from '../../machine/riscv-machine.ts';
import { Profile } from './profile.ts';
import { speedscopeDocument } from './profile-file.ts';
import { SymbolTable } from './symbols.ts';

const symbols = new SymbolTable([{ address: 0x1000n, size: 0x100n, name: 'work' }]);

/** A profile whose clocks the test moves. */
function profiled(hartCount = 1, samplesMax?: number) {
  const clocks = { now: 5000, idle: 700 };
  const { now, idle } = { now: () => clocks.now, idle: () => clocks.idle };
  return { clocks, profile: new Profile(hartCount, symbols, { now, idle }, samplesMax) };
}

const at = (own: Partial<Position> = {}): Position => ({
  hart: 0,
  pc: 0x1010n,
  privilege: 1,
  satp: 0n,
  ...own,
});

const sum = (weights: readonly number[]): number => weights.reduce((a, b) => a + b, 0);

/** What the samples say, in order. */
function told({ paths, samples, weights }: Profile): string[] {
  return samples.map((index, place) => `${paths[index]!.join('/')} ${weights[place]}`);
}

test('all time is counted once: guest, engine, host, waiting', () => {
  const { clocks, profile } = profiled();
  const after = (micros: number): void => {
    clocks.now += micros;
  };
  profile.runBegins();
  after(10);
  profile.begin('translate');
  after(4);
  profile.end();
  after(20);
  assert.equal(profile.sample(at()), 30);
  after(7);
  profile.runEnds();
  after(103);
  clocks.idle += 100;
  profile.runBegins();
  after(1);
  profile.begin('compile');
  after(2);
  profile.end();
  assert.equal(profile.sample(at({ privilege: 0, satp: (8n << 60n) | (3n << 44n) | 0x80abcn })), 8);
  after(5);
  profile.sample(at({ privilege: 3, pc: 0x2345n }));
  profile.runEnds();
  assert.deepEqual(told(profile), [
    'engine/translate 4',
    'supervisor/work 30',
    'host 3',
    'engine/compile 2',
    'user/space 80abc (ASID 3)/work 8',
    'machine/0x2000 5',
  ]);
  assert.match(profile.inWords(), /supervisor 57.7 %.* idle\n +57.7 % {2}supervisor > work\n/);
});

test('harts are apart in the samples and together in the list', () => {
  const { clocks, profile } = profiled(2);
  profile.runBegins();
  for (const hart of [0, 1, 1, 0]) {
    clocks.now += 10;
    profile.sample(at({ hart }));
  }
  profile.runEnds();
  assert.deepEqual(told(profile), [
    'hart 0/supervisor/work 10',
    'hart 1/supervisor/work 20',
    'hart 0/supervisor/work 10',
  ]);
  assert.match(profile.inWords(), /^0.00 s: supervisor 100.0 %; 0.00 s idle\n 100.0 % .*work$/);
});

test('however long a run is, its samples are bounded, and shares and their sum remain', () => {
  const { clocks, profile } = profiled(1, 4000);
  profile.runBegins();
  for (let round = 0; round < 30_000; round++) {
    clocks.now += round % 3 === 0 ? 40 : 10;
    profile.sample(at({ privilege: round % 3 === 0 ? 1 : 3, pc: BigInt(round % 3) << 12n }));
  }
  profile.runEnds();
  assert.ok(profile.samples.length <= 4000);
  assert.equal(Math.round(sum(profile.weights)), 600_000);
  const supervisor = profile.weights.filter(
    (_, place) => profile.paths[profile.samples[place]!]![0] === 'supervisor',
  );
  const share = sum(supervisor) / 600_000;
  assert.ok(share > 0.6 && share < 0.73, `${share} of 0.667`);
  assert.match(profile.inWords(1), /supervisor 66.7 %/);
});

test('a speedscope document has every frame once, and stacks from the outermost inwards', () => {
  const document = speedscopeDocument(
    {
      paths: [['supervisor', 'work'], ['host'], ['user', 'work']],
      samples: [0, 1, 2, 0],
      weights: [1.26, 2, 3, 4],
    },
    'tiny',
  );
  assert.deepEqual(JSON.parse(JSON.stringify(document)), {
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    name: 'tiny',
    exporter: 'umbra',
    activeProfileIndex: 0,
    shared: {
      frames: [{ name: 'supervisor' }, { name: 'work' }, { name: 'host' }, { name: 'user' }],
    },
    profiles: [
      {
        type: 'sampled',
        name: 'tiny',
        unit: 'microseconds',
        startValue: 0,
        endValue: 11,
        samples: [[0, 1], [2], [3, 1], [0, 1]],
        weights: [1.3, 2, 3, 4],
      },
    ],
  });
});
