/** What the center tells of two records is what has happened between them, one change or many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decide,
  type Member,
  newRecord,
  type Operation,
  type VmRecord,
} from '../lockstep/arbiter.ts';
import { newsOf } from './news.ts';

const members: readonly Member[] = ['a', 'b', 'c'].flatMap((host) =>
  [1, 2].map((n) => ({ host, process: `${host}${n}` })),
);
const operations: readonly Operation[] = [
  { kind: 'start', fenced: true, acceptStale: true, discardState: true },
  ...members.map((shadow): Operation => ({ kind: 'makeEligible', shadow })),
  { kind: 'goAlone' },
  { kind: 'claim' },
  { kind: 'stop', state: 'stopped', currentReplicas: ['a', 'b', 'c'] },
  { kind: 'stop', state: 'suspended', currentReplicas: ['a', 'b', 'c'], saved: 's' },
];
const step = fc.record({
  member: fc.constantFrom(...members),
  operation: fc.constantFrom(...operations),
});

/** The records that come of some asks, as the store gives them back, and what was granted. */
function history(steps: readonly { member: Member; operation: Operation }[]) {
  let entry = newRecord(1, []);
  const seen: { record: VmRecord; by?: { member: Member; operation: Operation } }[] = [
    { record: entry.record },
  ];
  for (const [index, { member, operation }] of steps.entries()) {
    const { epoch, generation } = entry.record;
    const ask = { vm: 'v', member, epoch, generation, claimId: `c${index}`, operation };
    const next = decide(entry, ask);
    if (!next.reply.granted) continue;
    entry = JSON.parse(JSON.stringify(next.entry));
    seen.push({ record: entry.record, by: { member, operation } });
  }
  return seen;
}

/** In words, for one granted ask. */
function expected(
  before: VmRecord,
  { member, operation }: { member: Member; operation: Operation },
) {
  const { host } = member;
  switch (operation.kind) {
    case 'start':
      return [`poweredOn ${host}`];
    case 'makeEligible': {
      const { shadow } = operation;
      const former = before.eligibleShadow;
      if (former?.process === shadow.process) return [];
      const lost = former === undefined ? [] : [`shadowLost ${former.host}`];
      return [...lost, `shadowEligible ${shadow.host}`];
    }
    case 'goAlone':
      return before.eligibleShadow === undefined
        ? []
        : [`shadowLost ${before.eligibleShadow.host}`];
    case 'claim':
      return [`failedOver ${before.live!.host} ${host}`];
    case 'stop':
      return [`stopped ${operation.state}`];
    default:
      return [];
  }
}

const inWords = (before: VmRecord | undefined, after: VmRecord): string[] =>
  newsOf(before, after).map((news) => {
    switch (news.kind) {
      case 'poweredOn':
        return `poweredOn ${news.host}`;
      case 'failedOver':
        return `failedOver ${news.from} ${news.host}`;
      case 'stopped':
        return `stopped ${news.isSuspended ? 'suspended' : 'stopped'}`;
      default:
        return `${news.kind} ${news.shadow}`;
    }
  });

test('of neighbouring records the one thing that was granted', () => {
  let told = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const records = history(steps);
      for (const [index, { record, by }] of records.entries()) {
        if (by === undefined) continue;
        const before = records[index - 1]!.record;
        // A process has one role in its life: one that is live or a shadow does not power on.
        const known = [before.live?.process, before.eligibleShadow?.process];
        if (by.operation.kind === 'start' && known.includes(by.member.process)) continue;
        assert.deepEqual(inWords(before, record), expected(before, by));
        told += 1;
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(told > 100, `${told} changes`);
});

test('of distant records: who is live, and who may be, is told in the end', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(), (steps, from) => {
      const records = history(steps);
      const before = records[from % records.length]!.record;
      const after = records.at(-1)!.record;
      const words = inWords(before, after).join(', ');
      const wasLive = before.state === 'live' ? before.live?.process : undefined;
      if (after.state === 'live' && after.live!.process !== wasLive) {
        assert.match(words, /poweredOn|failedOver/);
        assert.ok(words.includes(` ${after.live!.host}`), words);
      }
      const eligible = after.eligibleShadow;
      if (eligible !== undefined && eligible.process !== before.eligibleShadow?.process) {
        assert.ok(words.includes(`shadowEligible ${eligible.host}`), words);
      }
      if (after.state !== 'live' && wasLive !== undefined) assert.match(words, /stopped/);
    }),
    { numRuns: 1000 },
  );
});
