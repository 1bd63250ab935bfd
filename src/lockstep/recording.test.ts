import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UmbraError } from '../base/errors.ts';
import { SeededRandom } from '../base/random.ts';
import type { DiskRequest } from '../machine/effects.ts';
import { encodeRequest, ToyMaker } from '../sim/toy-machine.ts';
import { HostClock } from './clock.ts';
import type { Ports } from './ports.ts';
import { Primary } from './primary.ts';
import {
  RecordingReplay,
  RecordingWriter,
  readSegment,
  readSnapshot,
  restoreSnapshot,
  writeSnapshot,
} from './recording.ts';

const maker = new ToyMaker({ clients: 2, disks: 1, period: 50_000, burst: 30_000 });

/** Runs a machine alone for a while and records it; the disk answers in between. */
function record(seed: number, segmentBytesMax: number) {
  const random = new SeededRandom(seed);
  const writer = new RecordingWriter(
    { configuration: maker.configuration, epoch: 0, generation: 0 },
    segmentBytesMax,
  );
  const segments: Uint8Array[] = [];
  const frames: string[] = [];
  const disk = new Uint8Array(64 * 1024);
  const requests: DiskRequest[] = [];
  let now = 0;
  const ports: Ports = {
    clock: { now: () => now },
    disks: { submit: (_origin, request) => requests.push(request) },
    outputs: {
      send: (output) => {
        if (output.kind === 'frame') frames.push(`${output.count} ${output.frame}`);
      },
      suppressed: () => {},
      announce: () => {},
    },
    arbiter: undefined,
    entropy: (length) => random.bytes(length),
    blockHash: (bytes) => bytes,
    report: () => {},
    recording: (firstPosition, entries) => {
      const { begins, bytes } = writer.batch(firstPosition, entries);
      const previous = begins ? new Uint8Array(0) : segments.pop()!;
      segments.push(Uint8Array.of(...previous, ...bytes));
    },
  };
  const options = {
    vm: 'v',
    member: { host: 'h', process: 'p' },
    configuration: maker.configuration,
    disks: [{ length: disk.length, shared: false }],
  };
  const machine = maker.powerOn();
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  for (let turn = 0; turn < 4000; turn++, now += random.between(50, 2000)) {
    if (random.chance(0.05)) {
      primary.frame(0, encodeRequest({ client: random.below(2), sequence: random.between(1, 9) }));
    }
    for (const { request, action, offset, length, data } of requests.splice(0)) {
      if (action === 'write') disk.set(data, offset);
      const read = action === 'read' ? disk.slice(offset, offset + length) : new Uint8Array(0);
      primary.diskDone('guest', { disk: 0, request, ok: true, data: read });
    }
    primary.step();
  }
  primary.flush(now);
  return { segments, frames, machine };
}

function replay(segments: readonly Uint8Array[]) {
  const frames: string[] = [];
  const replay = new RecordingReplay(maker, maker.powerOn(), 0);
  for (const segment of segments) replay.add(readSegment(segment)!);
  for (;;) {
    const end = replay.step(1n << 60n, 1);
    for (const output of replay.machine.takeOutputs()) {
      if (output.kind === 'frame') frames.push(`${output.count} ${output.frame}`);
    }
    if (end !== undefined) return { end, frames, machine: replay.machine };
  }
}

const recorded = record(1, 4000);

test('a recording replays to the same outputs and the same state', () => {
  assert.ok(recorded.segments.length > 2 && recorded.frames.length > 5);
  const { end, frames, machine } = replay(recorded.segments);
  assert.equal(end.kind, 'end');
  assert.deepEqual(frames, recorded.frames);
  assert.equal(machine.count, recorded.machine.count);
  assert.equal(machine.fingerprint(), recorded.machine.fingerprint());
});

test('a torn tail is cut at the last whole batch, wherever it tore', () => {
  const segment = recorded.segments[0]!;
  const whole = readSegment(segment)!;
  assert.equal(whole.cutBytes, 0);
  let last = -1;
  for (let length = 0; length < segment.length; length++) {
    const entries = readSegment(segment.subarray(0, length))?.entries ?? [];
    assert.ok(entries.length >= last);
    assert.deepEqual(entries, whole.entries.slice(0, entries.length));
    last = entries.length;
  }
});

test('damage is an error or cuts the tail; it never changes what is read', () => {
  const segment = recorded.segments[0]!;
  const whole = readSegment(segment)!;
  fc.assert(
    fc.property(fc.nat(segment.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = segment.slice();
      bytes[at]! ^= flip;
      try {
        const entries = readSegment(bytes)?.entries ?? [];
        assert.deepEqual(entries, whole.entries.slice(0, entries.length));
        assert.ok(entries.length < whole.entries.length);
      } catch (error) {
        assert.ok(error instanceof UmbraError, String(error));
      }
    }),
  );
});

test('a missing segment is an error, not a guess', () => {
  const [first, , third] = recorded.segments;
  assert.throws(() => replay([first!, third!]), /recording-hole|should follow/);
});

test('a fingerprint that differs is reported with its entry', () => {
  const changed = recorded.segments.map((bytes) => readSegment(bytes)!);
  const position = changed[0]!.entries.findIndex(({ event }) => event.kind === 'clock');
  const entries = changed[0]!.entries.map((entry, at) =>
    at === position && entry.event.kind === 'clock'
      ? { ...entry, event: { ...entry.event, time: entry.event.time + 1n } }
      : entry,
  );
  const replay = new RecordingReplay(maker, maker.powerOn(), 0);
  replay.add({ ...changed[0]!, entries });
  for (const segment of changed.slice(1)) replay.add(segment);
  let end = replay.step(1n << 60n);
  while (end === undefined) end = replay.step(1n << 60n);
  assert.equal(end.kind, 'diverged');
  assert.ok(end.kind === 'diverged' && end.divergence.recent.length > 0);
});

test('a snapshot continues the recording where it was taken', () => {
  const first = new RecordingReplay(maker, maker.powerOn(), 0);
  for (const segment of recorded.segments) first.add(readSegment(segment)!);
  first.step(1n << 60n, 500);
  const parts = [...writeSnapshot(maker.configuration, first.position, first.machine.checkpoint())];
  const bytes = Uint8Array.of(...parts.flatMap((part) => [...part]));
  const snapshot = readSnapshot(bytes);
  const second = new RecordingReplay(maker, restoreSnapshot(maker, snapshot), snapshot.position);
  for (const segment of recorded.segments) second.add(readSegment(segment)!);
  let end = second.step(1n << 60n);
  while (end === undefined) end = second.step(1n << 60n);
  assert.equal(end.kind, 'end');
  assert.equal(second.machine.fingerprint(), recorded.machine.fingerprint());
  assert.throws(() => readSnapshot(bytes.subarray(0, -1)), UmbraError);
});
