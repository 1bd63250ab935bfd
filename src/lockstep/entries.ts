/**
 * The log: what happened to a machine that it could not compute, each event at its exact count.
 *
 * From: the recorder of the live copy. To: the replayer of the shadow, and recordings on disk.
 * One table (`rows`) gives every kind its number, its two codecs, its limits and its text; numbers
 * are never reused. The bytes may come from a broken disk or a stranger: whatever does not fit is
 * `MalformedBytes`, and nothing is allocated that the bytes themselves do not fill.
 *
 * Form of entries in a batch: count as varint difference to the entry before (the first: to zero),
 * number of the kind, payload. A batch is thus readable on its own.
 */
import { assert } from '../base/assert.ts';
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import type {
  ClockInput,
  ConsoleInput,
  ControlInput,
  EntropyInput,
  FrameInput,
  Input,
} from '../machine/effects.ts';

/**
 * The end of a disk request. `data` is there where the replayer cannot or must not ask its own
 * replica: shared disks, replicas under construction, recordings. Without it the replayer waits for
 * the same request on its own replica.
 */
export interface DiskEvent {
  readonly kind: 'disk';
  readonly disk: number;
  readonly request: number;
  readonly ok: boolean;
  readonly data: Uint8Array | undefined;
}

/** The machine has reached this count: it moves the frontier, and releases what was held before. */
export interface ProgressEvent {
  readonly kind: 'progress';
}

export interface FingerprintEvent {
  readonly kind: 'fingerprint';
  readonly value: bigint;
}

/** A checkpoint was taken here; restoring it continues at the next position. */
export interface CheckpointEvent {
  readonly kind: 'checkpoint';
  readonly id: number;
}

export type LogEvent =
  | Exclude<Input, { kind: 'disk' }>
  | DiskEvent
  | ProgressEvent
  | FingerprintEvent
  | CheckpointEvent;

export interface Entry {
  readonly count: bigint;
  readonly event: LogEvent;
}

type Kind = LogEvent['kind'];
type EventOf<K extends Kind> = Extract<LogEvent, { kind: K }>;

interface Row<K extends Kind> {
  /** On the wire and on disk; never reused, never renumbered. */
  readonly number: number;
  encode(writer: ByteWriter, event: EventOf<K>): void;
  decode(reader: ByteReader): EventOf<K>;
  text(event: EventOf<K>): string;
}

/** Longest frame: 64 KiB of a segmented send and its headers. */
export const frameBytesMax = 66_000;
const portsMax = 256;
const segmentBytesMax = 0xffff;
const dataBytesMax = 64 * 1024 * 1024;
const controlActions = ['power-button', 'reset', 'power-off'] as const;

function bounded(reader: ByteReader, what: string, max: number): number {
  const value = reader.varint();
  if (value > max) throw new MalformedBytes(`${what} of ${value}, at most ${max}`);
  return value;
}

function boundedBytes(reader: ByteReader, what: string, max: number): Uint8Array {
  return reader.raw(bounded(reader, what, max));
}

const rows: { readonly [K in Kind]: Row<K> } = {
  clock: {
    number: 1,
    encode: (writer, event) => writer.varint64(event.time).varint(event.rate).varint(event.span),
    decode: (reader): ClockInput => {
      const time = reader.varint64();
      const rate = bounded(reader, 'rate', 0xffff_ffff);
      if (rate === 0) throw new MalformedBytes('a clock that stands still');
      return { kind: 'clock', time, rate, span: bounded(reader, 'span', 0xffff_ffff) };
    },
    text: (event) => `time ${event.time} rate ${event.rate} span ${event.span}`,
  },
  frame: {
    number: 2,
    // One number for port and segments: nearly always a single byte.
    encode: (writer, { port, segmentBytes, frame }) =>
      writer.varint(port + portsMax * segmentBytes).bytes(frame),
    decode: (reader): FrameInput => {
      const both = bounded(reader, 'port and segments', portsMax * (segmentBytesMax + 1) - 1);
      const segmentBytes = Math.floor(both / portsMax);
      const frame = boundedBytes(reader, 'frame length', frameBytesMax);
      return { kind: 'frame', port: both % portsMax, frame, segmentBytes };
    },
    text: ({ port, segmentBytes, frame }) =>
      `port ${port}, ${frame.length} bytes${segmentBytes > 0 ? ` in segments of ${segmentBytes}` : ''}`,
  },
  disk: {
    number: 3,
    encode: (writer, event) => {
      const withData = event.data !== undefined;
      writer.varint(event.disk).varint(event.request);
      writer.u8((event.ok ? 1 : 0) | (withData ? 2 : 0));
      if (event.data !== undefined) writer.bytes(event.data);
    },
    decode: (reader): DiskEvent => {
      const disk = bounded(reader, 'disk', 255);
      const request = reader.varint();
      const flags = reader.u8();
      if (flags > 3) throw new MalformedBytes(`disk flags ${flags}`);
      const data = flags & 2 ? boundedBytes(reader, 'disk data', dataBytesMax) : undefined;
      return { kind: 'disk', disk, request, ok: (flags & 1) !== 0, data };
    },
    text: (event) => {
      const data = event.data === undefined ? 'from the replica' : `${event.data.length} bytes`;
      return `disk ${event.disk} request ${event.request} ${event.ok ? 'ok' : 'failed'}, ${data}`;
    },
  },
  console: {
    number: 4,
    encode: (writer, event) => writer.bytes(event.bytes),
    decode: (reader): ConsoleInput => ({
      kind: 'console',
      bytes: boundedBytes(reader, 'console length', 1 << 20),
    }),
    text: (event) => `${event.bytes.length} bytes`,
  },
  entropy: {
    number: 5,
    encode: (writer, event) => writer.bytes(event.bytes),
    decode: (reader): EntropyInput => ({
      kind: 'entropy',
      bytes: boundedBytes(reader, 'entropy length', 1 << 20),
    }),
    text: (event) => `${event.bytes.length} bytes`,
  },
  control: {
    number: 6,
    encode: (writer, event) => writer.u8(controlActions.indexOf(event.action)),
    decode: (reader): ControlInput => {
      const number = reader.u8();
      const action = controlActions[number];
      if (action === undefined) throw new MalformedBytes(`control action ${number}`);
      return { kind: 'control', action };
    },
    text: (event) => event.action,
  },
  progress: {
    number: 7,
    encode: () => {},
    decode: () => ({ kind: 'progress' }),
    text: () => '',
  },
  fingerprint: {
    number: 8,
    encode: (writer, event) => writer.u64(event.value),
    decode: (reader) => ({ kind: 'fingerprint', value: reader.u64() }),
    text: (event) => event.value.toString(16).padStart(16, '0'),
  },
  checkpoint: {
    number: 9,
    encode: (writer, event) => writer.varint(event.id),
    decode: (reader) => ({ kind: 'checkpoint', id: reader.varint() }),
    text: (event) => `${event.id}`,
  },
};

const rowOfNumber: (Row<Kind> | undefined)[] = [];
for (const row of Object.values(rows) as Row<Kind>[]) {
  assert(rowOfNumber[row.number] === undefined, `two kinds of entry have number ${row.number}`);
  rowOfNumber[row.number] = row;
}

export function encodeEntry(writer: ByteWriter, entry: Entry, previousCount: bigint): void {
  assert(entry.count >= previousCount, `count ${entry.count} after ${previousCount}`);
  const row = rows[entry.event.kind] as Row<Kind>;
  writer.varint64(entry.count - previousCount).u8(row.number);
  row.encode(writer, entry.event);
}

/** Twin of `encodeEntry`. Byte strings in the entry are views of the reader's bytes. */
export function decodeEntry(reader: ByteReader, previousCount: bigint): Entry {
  const count = previousCount + reader.varint64();
  if (count >= 1n << 64n) throw new MalformedBytes('a count of more than 64 bits');
  const number = reader.u8();
  const row = rowOfNumber[number];
  if (row === undefined) throw new MalformedBytes(`entries of kind ${number} are unknown here`);
  return { count, event: row.decode(reader) };
}

export function encodeEntries(entries: readonly Entry[]): Uint8Array {
  const writer = new ByteWriter(256);
  let previous = 0n;
  for (const entry of entries) {
    encodeEntry(writer, entry, previous);
    previous = entry.count;
  }
  return writer.finish();
}

export function decodeEntries(bytes: Uint8Array): Entry[] {
  const reader = new ByteReader(bytes);
  const entries: Entry[] = [];
  let previous = 0n;
  while (reader.remaining > 0) {
    const entry = decodeEntry(reader, previous);
    entries.push(entry);
    previous = entry.count;
  }
  return entries;
}

/** One line for people: in divergence reports and `umbra replay`. */
export function entryText(position: number, entry: Entry): string {
  const row = rows[entry.event.kind] as Row<Kind>;
  return `#${position} @${entry.count} ${entry.event.kind} ${row.text(entry.event)}`.trimEnd();
}
