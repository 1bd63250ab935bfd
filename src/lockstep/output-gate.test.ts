import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Output } from '../machine/effects.ts';
import { OutputGate } from './output-gate.ts';

function frame(count: number, length = 10): Output {
  return {
    kind: 'frame',
    port: 0,
    segmentBytes: 0,
    frame: new Uint8Array(length),
    count: BigInt(count),
  };
}

function line(count: number, length: number): Output {
  return { kind: 'console', offset: 0n, bytes: new Uint8Array(length), count: BigInt(count) };
}

function counts(outputs: readonly Output[]): number[] {
  return outputs.map(({ count }) => Number(count));
}

test('an output waits for the progress entry that covers it', () => {
  const gate = new OutputGate(10);
  gate.close();
  gate.hold(frame(1));
  gate.seal(11);
  gate.hold(frame(2));
  assert.equal(gate.unsealed, 1);
  assert.deepEqual(counts(gate.release(10)), []);
  assert.deepEqual(counts(gate.release(11)), [1]);
  // The same count again is not covered by the older entry at that count.
  assert.deepEqual(counts(gate.release(11)), []);
  gate.seal(14);
  assert.deepEqual(counts(gate.release(14)), [2]);
  assert.equal(gate.releasedPosition, 14);
});

test('where nothing is held, all has left, acknowledged or not', () => {
  const gate = new OutputGate(10);
  gate.close();
  gate.seal(11);
  assert.equal(gate.releasedPosition, 11);
  assert.equal(gate.acknowledgedPosition, 10);
  gate.hold(frame(1));
  gate.seal(12);
  gate.seal(13);
  assert.equal(gate.releasedPosition, 11);
  gate.release(11);
  assert.equal(gate.releasedPosition, 11);
  assert.equal(gate.acknowledgedPosition, 11);
  gate.release(12);
  assert.equal(gate.releasedPosition, 12);
  gate.seal(14);
  assert.equal(gate.releasedPosition, 14);
  assert.equal(gate.acknowledgedPosition, 12);
});

test('opening lets everything out, in order', () => {
  const gate = new OutputGate(0);
  gate.close();
  gate.hold(frame(1));
  gate.seal(5);
  gate.hold(frame(2));
  assert.deepEqual(counts(gate.open()), [1, 2]);
  assert.equal(gate.length, 0);
  assert.throws(() => gate.hold(frame(3)), /open gate/);
});

test('a full gate drops its oldest frames and nothing else', () => {
  const gate = new OutputGate(0, 10_000);
  gate.close();
  gate.hold(line(0, 100));
  for (let count = 1; count <= 20; count++) gate.hold(frame(count, 1000));
  assert.equal(gate.full, false);
  assert.ok(gate.droppedFrames > 0);
  const kept = counts(gate.open());
  assert.equal(kept[0], 0);
  assert.equal(kept.at(-1), 20);
  assert.equal(kept.length, 21 - gate.droppedFrames);
});

test('what may not be dropped fills the gate', () => {
  const gate = new OutputGate(0, 10_000);
  gate.close();
  for (let count = 0; count < 12; count++) gate.hold(line(count, 1000));
  assert.equal(gate.full, true);
  gate.seal(1);
  assert.equal(gate.release(1).length, 12);
  assert.equal(gate.full, false);
});

test('whatever happens, outputs leave once, in order, and never before their seal', () => {
  const act = fc.oneof(
    fc.constant('hold' as const),
    fc.constant('seal' as const),
    fc.nat(40).map((position) => position),
  );
  fc.assert(
    fc.property(fc.array(act, { maxLength: 100 }), (acts) => {
      const gate = new OutputGate(0);
      gate.close();
      const sealedAt: number[] = [];
      let held = 0;
      let position = 0;
      const left: number[] = [];
      for (const one of acts) {
        if (one === 'hold') gate.hold(frame(held++));
        else if (one === 'seal') {
          gate.seal(++position);
          while (sealedAt.length < held) sealedAt.push(position);
        } else {
          for (const count of counts(gate.release(one))) {
            assert.ok((sealedAt[count] ?? Number.POSITIVE_INFINITY) <= one);
            left.push(count);
          }
        }
      }
      left.push(...counts(gate.open()));
      assert.deepEqual(
        left,
        Array.from({ length: held }, (_, count) => count),
      );
    }),
  );
});
