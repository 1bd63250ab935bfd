/**
 * Failovers in a row, by the script that takes any number of them: two rounds, so that the second
 * one takes away the host that took over in the first. (One fault of each kind: demo.test.ts.)
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import type { FailoverReport } from '../../src/cli/demo/failover.ts';
import { type FailoversDocument, problemsOf } from './failovers.ts';
import { imagesMissing } from './umbra.fixture.ts';

const program = resolve(import.meta.dirname, 'failovers.ts');

test('the host of the live copy is lost twice, and nothing else is', async (t) => {
  const missing = await imagesMissing('redis');
  if (missing) return t.skip(missing);
  const child = spawn(process.execPath, [program, '--rounds', '2', '--json'], { stdio: 'pipe' });
  const limit = setTimeout(() => child.kill('SIGTERM'), 240_000);
  const [stdout, stderr] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ]);
  clearTimeout(limit);
  assert.equal(child.exitCode, 0, stderr);
  t.diagnostic(stdout.trim());
  const document = JSON.parse(stdout) as FailoversDocument;
  assert.deepEqual([document.ok, document.rounds, document.problems], [true, 2, []]);
  const { lost, repeated, connectionsReset, divergences } = document;
  assert.deepEqual([lost, repeated, connectionsReset, divergences], [0, 0, 0, 0]);
  const [first, second] = document.failovers;
  assert.equal(second!.from, first!.to);
});

test('whatever may not be is named, with its round', () => {
  const well: FailoverReport = {
    ...{ kind: 'kill', from: 'a', to: 'b', fingerprintsCompared: 9, requestsBefore: 9 },
    ...{ gapMs: 90, interruptionMs: 90, detectMs: 60, requestsAfter: 500, reprotectedMs: 2_000 },
    ...{ lost: 0, repeated: 0, connectionsReset: 0 },
  };
  const next: FailoverReport = { ...well, from: 'b', to: 'c' };
  assert.deepEqual(problemsOf([well, next], 0), []);
  const bad: readonly [Partial<FailoverReport>, RegExp][] = [
    [{ lost: 1 }, /^round 2, b to c: 1 acknowledged requests lost$/],
    [{ repeated: 2 }, /2 requests carried out twice/],
    [{ connectionsReset: 1 }, /reset/],
    [{ requestsAfter: 0 }, /no reply/],
    [{ to: 'b' }, /did not move/],
    [{ from: 'a' }, /it was live on b before/],
    [{ reprotectedMs: 60_001 }, /only after 60001 ms/],
  ];
  for (const [change, expected] of bad) {
    const [problem, ...more] = problemsOf([well, { ...next, ...change }], 0);
    assert.match(problem!, expected);
    assert.deepEqual(more, []);
  }
  assert.deepEqual(problemsOf([well], 3), ['3 divergences']);
});
