/** An input's way in, and to the shadow, stage by stage with the real parts: read this second. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { decodeEntries } from '../../src/lockstep/entries.ts';
import { Recorder } from '../../src/lockstep/recorder.ts';
import { Replayer } from '../../src/lockstep/replayer.ts';
import { ethernetFrame, guestMac, guestThatSends } from './guest.fixture.ts';

const somebody = Uint8Array.of(0x02, 0, 0, 0, 0, 7);

test('a frame is logged at its count, applied, and applied again by the shadow at that count', () => {
  const maker = guestThatSends(ethernetFrame(somebody, guestMac, 'hello'));

  // The primary records the frame, then its machine has it.
  const primary = maker.powerOn();
  const recorder = new Recorder(primary, 1);
  recorder.listening = true;
  primary.run(100_000n);
  const before = primary.fingerprint();
  const frame = ethernetFrame(guestMac, somebody, 'and hello to you');
  recorder.input({ kind: 'frame', port: 0, frame, segmentBytes: 0 }, false);
  assert.notEqual(primary.fingerprint(), before);
  primary.run(primary.count + 1_000n);
  recorder.note({ kind: 'fingerprint', value: primary.fingerprint() });
  const batch = recorder.take();
  assert.ok(batch);

  // The batch crosses the wire; the shadow runs to each entry's count, never beyond.
  const shadow = maker.powerOn();
  const replayer = new Replayer(shadow, 1);
  replayer.push(batch.firstPosition, decodeEntries(batch.entries));
  const passed: string[] = [];
  for (;;) {
    const advance = replayer.advance(1_000_000n);
    if (advance.kind !== 'entry') {
      assert.equal(advance.kind, 'waiting');
      break;
    }
    passed.push(advance.event.kind);
  }
  assert.deepEqual(passed, ['frame', 'fingerprint']);
  assert.equal(replayer.fingerprintsCompared, 1);
  assert.equal(shadow.count, primary.count);
  assert.equal(shadow.fingerprint(), primary.fingerprint());
});

test('a frame applied at another count is another history, and the fingerprint says so', () => {
  const maker = guestThatSends(ethernetFrame(somebody, guestMac, 'hello'));
  const primary = maker.powerOn();
  primary.run(100_000n);
  const frame = ethernetFrame(guestMac, somebody, 'and hello to you');
  primary.apply({ kind: 'frame', port: 0, frame, segmentBytes: 0 });
  const value = primary.fingerprint();

  // Ten instructions after power-on the card has no driver yet and drops the frame.
  const replayer = new Replayer(maker.powerOn(), 1);
  replayer.push(1, [
    { count: 10n, event: { kind: 'frame', port: 0, frame, segmentBytes: 0 } },
    { count: primary.count, event: { kind: 'fingerprint', value } },
  ]);
  assert.equal(replayer.advance(1_000_000n).kind, 'entry');
  const advance = replayer.advance(1_000_000n);
  assert.ok(advance.kind === 'diverged');
  assert.equal(advance.divergence.position, 2);
});
