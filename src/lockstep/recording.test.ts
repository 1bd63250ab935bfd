import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UmbraError } from '../base/errors.ts';
import { SeededRandom } from '../base/random.ts';
import type { DiskRequest } from '../machine/effects.ts';
import type { Checkpoint } from '../machine/machine.ts';
import { encodeRequest, ToyMaker } from '../sim/toy-machine.ts';
import { HostClock } from './clock.ts';
import type { Ports } from './ports.ts';
import { Primary } from './primary.ts';
import { RecordingWriter, readSegment, readSegmentHeader, type Segment } from './recording.ts';
import { block, type Packing } from './recording-blocks.ts';
import { type Log, RecordingReplay } from './recording-replay.ts';
import {
  encodeSnapshotHeader,
  readSnapshot,
  restoreSnapshots,
  type Snapshot,
  type SnapshotHeader,
  snapshotEnd,
} from './recording-snapshot.ts';

/** Runs of a byte as the byte and their length: enough to see that packed blocks come back. */
const runs: Packing = {
  pack(bytes) {
    const packed: number[] = [];
    for (let at = 0; at < bytes.length; ) {
      let end = at;
      while (end < bytes.length && bytes[end] === bytes[at] && end - at < 255) end++;
      packed.push(bytes[at]!, end - at);
      at = end;
    }
    return Uint8Array.from(packed);
  },
  unpack(bytes) {
    const plain: number[] = [];
    for (let at = 0; at + 1 < bytes.length; at += 2) {
      for (let left = bytes[at + 1]!; left > 0; left--) plain.push(bytes[at]!);
    }
    return Uint8Array.from(plain);
  },
};

const read = (bytes: Uint8Array): Segment | undefined => readSegment(bytes, runs);

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
  let ended = { count: 0n, time: 0n };
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
      const written = writer.batch({ ...ended, position: firstPosition }, entries);
      const { begins, content, header } = written;
      ended = { count: machine.count, time: machine.time };
      const previous = begins ? new Uint8Array(0) : segments.pop()!;
      segments.push(Uint8Array.of(...previous, ...header, ...block(content, runs)));
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

function logOf(segments: readonly Segment[]): Log {
  return {
    stretch(position) {
      const holds = ({ header, entries }: Segment): boolean =>
        position < header.begins.position + entries.length;
      const found = segments.find(holds);
      return found && { firstPosition: found.header.begins.position, entries: found.entries };
    },
  };
}

function replay(segments: readonly Uint8Array[]) {
  const frames: string[] = [];
  const log = logOf(segments.map((segment) => read(segment)!));
  const replay = new RecordingReplay(log, maker.powerOn(), 1);
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
  const whole = read(segment)!;
  assert.equal(whole.cutBytes, 0);
  let last = -1;
  for (let length = 0; length < segment.length; length++) {
    const entries = read(segment.subarray(0, length))?.entries ?? [];
    assert.ok(entries.length >= last);
    assert.deepEqual(entries, whole.entries.slice(0, entries.length));
    last = entries.length;
  }
});

test('damage is an error or cuts the tail; it never changes what is read', () => {
  const segment = recorded.segments[0]!;
  const whole = read(segment)!;
  fc.assert(
    fc.property(fc.nat(segment.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = segment.slice();
      bytes[at]! ^= flip;
      try {
        const entries = read(bytes)?.entries ?? [];
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
  const changed = recorded.segments.map((bytes) => read(bytes)!);
  const position = changed[0]!.entries.findIndex(({ event }) => event.kind === 'clock');
  const entries = changed[0]!.entries.map((entry, at) =>
    at === position && entry.event.kind === 'clock'
      ? { ...entry, event: { ...entry.event, time: entry.event.time + 1n } }
      : entry,
  );
  const log = logOf([{ ...changed[0]!, entries }, ...changed.slice(1)]);
  const replay = new RecordingReplay(log, maker.powerOn(), 1);
  let end = replay.step(1n << 60n);
  while (end === undefined) end = replay.step(1n << 60n);
  assert.equal(end.kind, 'diverged');
  assert.ok(end.kind === 'diverged' && end.divergence.recent.length > 0);
});

test('the header of a segment says where it begins, and is read by itself', () => {
  for (const [number, bytes] of recorded.segments.entries()) {
    const header = readSegmentHeader(bytes.subarray(0, 200))!;
    assert.equal(header.segment, number);
    const { entries } = read(bytes)!;
    assert.ok(header.begins.count <= entries[0]!.count);
    assert.deepEqual(header, read(bytes)!.header);
  }
});

test('a snapshot continues the recording where it was taken', () => {
  const log = logOf(recorded.segments.map((segment) => read(segment)!));
  const first = new RecordingReplay(log, maker.powerOn(), 1);
  first.step(1n << 60n, 500);
  const { count, time } = first.machine;
  const at = { position: first.nextPosition, count, time };
  const header: SnapshotHeader = { configuration: maker.configuration, number: 3, base: 3, at };
  const bytes = snapshotOf(header, first.machine.checkpoint());
  const snapshot = readSnapshot(bytes, runs);
  assert.deepEqual(snapshot.header, header);
  const machine = restoreSnapshots(maker.restore(), header, () => snapshot);
  const second = new RecordingReplay(log, machine, at.position);
  let end = second.step(1n << 60n);
  while (end === undefined) end = second.step(1n << 60n);
  assert.equal(end.kind, 'end');
  assert.equal(second.machine.fingerprint(), recorded.machine.fingerprint());
  assert.throws(() => readSnapshot(bytes.subarray(0, -1), runs), UmbraError);
  const lost: Snapshot = { ...snapshot, header: { ...header, number: 4 } };
  assert.throws(
    () => restoreSnapshots(maker.restore(), header, () => lost),
    /snapshot 3 is missing/,
  );
});

function snapshotOf(header: SnapshotHeader, checkpoint: Checkpoint): Uint8Array {
  const parts = [encodeSnapshotHeader(header)];
  for (let chunk = checkpoint.next(9000); chunk; chunk = checkpoint.next(9000)) {
    if (chunk.length > 0) parts.push(block(chunk, runs));
  }
  parts.push(snapshotEnd());
  return Uint8Array.of(...parts.flatMap((part) => [...part]));
}
