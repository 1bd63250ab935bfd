/**
 * The protocol between the two copies: one table, encode and decode beside each other.
 *
 * From: primary and shadow. To: each other, over one ordered connection. A connection begins with
 * the shadow's `hello` and the primary's `welcome` or `refuse`; versions are negotiated there. An
 * empty batch is the primary's heartbeat, an acknowledgement is the shadow's. Whatever does not fit
 * is `MalformedBytes`, and the connection ends.
 */
import { assert } from '../base/assert.ts';
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import type { Divergence } from './status.ts';

/**
 * The versions that this code speaks.
 *
 * 2: `typed`.
 */
export const protocolVersions = { min: 1, max: 2 } as const;
export const typedSince = 2;

/** Bytes of a disk that are compared and copied as one. */
export const blockBytes = 64 * 1024;
const blocksMax = 64;

/** The shadow introduces itself. */
export interface Hello {
  readonly kind: 'hello';
  readonly versionMin: number;
  readonly versionMax: number;
  /** Absent when the versions do not overlap: its form is then unknown. */
  readonly body: HelloBody | undefined;
}

export interface HelloBody {
  readonly vm: string;
  readonly configuration: Uint8Array;
  readonly host: string;
  readonly process: string;
  /** The last position received; undefined for a shadow that has no machine yet. */
  readonly received: number | undefined;
}

export interface Welcome {
  readonly kind: 'welcome';
  readonly version: number;
  /** The primary introduces itself. */
  readonly host: string;
  readonly process: string;
  /** Whether the stream goes on after `received`; otherwise a checkpoint follows. */
  readonly resumed: boolean;
}

/** Why a connection or a shadow ends, in words; the code is for machines. */
export interface Refuse {
  readonly kind: 'refuse';
  readonly code: RefusalCode;
  readonly text: string;
}

export const refusalCodes = [
  'version',
  'vm',
  'configuration',
  'stale',
  'busy',
  'dismissed',
  'off',
] as const;
export type RefusalCode = (typeof refusalCodes)[number];

export interface BatchMessage {
  readonly kind: 'batch';
  readonly firstPosition: number;
  /**
   * Outputs sealed up to here have left the primary, or there were none. Where that is less than the
   * last entry, the acknowledgement is awaited; else it may wait until the entries are executed.
   */
  readonly releasedPosition: number;
  readonly entries: Uint8Array;
}

export interface Ack {
  readonly kind: 'ack';
  /** Received into the shadow's memory. */
  readonly receivedPosition: number;
  readonly executedPosition: number;
  readonly executedCount: bigint;
}

export interface CheckpointBegin {
  readonly kind: 'checkpoint-begin';
  readonly position: number;
  /** The host's clock in the guest's ticks: a shadow without a sample goes on from here. */
  readonly ticks: bigint;
}

/** Behind the beginning of a checkpoint: how many console bytes the machine has been given. Since 2. */
export interface Typed {
  readonly kind: 'typed';
  readonly bytes: number;
}

export interface CheckpointChunk {
  readonly kind: 'checkpoint-chunk';
  readonly bytes: Uint8Array;
}

export interface CheckpointEnd {
  readonly kind: 'checkpoint-end';
}

/** Chunks taken in so far: the primary keeps few under way. */
export interface CheckpointAck {
  readonly kind: 'checkpoint-ack';
  readonly chunks: number;
}

/** The shadow's blocks of a replica, from `firstBlock` on, by their hashes. */
export interface BlocksAsk {
  readonly kind: 'blocks-ask';
  readonly disk: number;
  readonly firstBlock: number;
  readonly hashes: readonly Uint8Array[];
}

/** The primary's, where they differ. */
export interface Blocks {
  readonly kind: 'blocks';
  readonly disk: number;
  readonly firstBlock: number;
  readonly blocks: readonly (Uint8Array | undefined)[];
}

/** The shadow has its machine and whole replicas. */
export interface Ready {
  readonly kind: 'ready';
}

/** The shadow is eligible at the arbiter since this generation. */
export interface Eligible {
  readonly kind: 'eligible';
  readonly epoch: number;
  readonly generation: number;
}

/** The primary has stopped at this position, everything acknowledged and released: take over. */
export interface Consent {
  readonly kind: 'consent';
  readonly position: number;
}

/** The shadow has taken over; the primary may end. */
export interface Claimed {
  readonly kind: 'claimed';
  readonly generation: number;
}

/** The shadow ends because of this. */
export interface DivergenceMessage {
  readonly kind: 'divergence';
  readonly divergence: Divergence;
}

export interface DiskFailed {
  readonly kind: 'disk-failed';
  readonly disk: number;
}

/** The shadow doubts that the primary lives: it is to say so at once, by a heartbeat. */
export interface Ping {
  readonly kind: 'ping';
}

export type Message =
  | Hello
  | Welcome
  | Refuse
  | BatchMessage
  | Ack
  | CheckpointBegin
  | CheckpointChunk
  | CheckpointEnd
  | CheckpointAck
  | BlocksAsk
  | Blocks
  | Ready
  | Eligible
  | Consent
  | Claimed
  | DivergenceMessage
  | DiskFailed
  | Ping
  | Typed;

type Kind = Message['kind'];
type MessageOf<K extends Kind> = Extract<Message, { kind: K }>;

interface Row<K extends Kind> {
  readonly number: number;
  /** Bytes that the message may take, if it can be many. */
  room?(message: MessageOf<K>): number;
  encode(writer: ByteWriter, message: MessageOf<K>): void;
  decode(reader: ByteReader): MessageOf<K>;
}

const rows: { readonly [K in Kind]: Row<K> } = {
  hello: {
    number: 1,
    encode: (writer, { versionMin, versionMax, body }) => {
      assert(body !== undefined, 'a hello without a body');
      writer.varint(versionMin).varint(versionMax).text(body.vm).bytes(body.configuration);
      writer.text(body.host).text(body.process);
      writer.varint(body.received === undefined ? 0 : body.received + 1);
    },
    decode: (reader) => {
      const versionMin = reader.varint();
      const versionMax = reader.varint();
      if (chooseVersion(versionMin, versionMax) === undefined) {
        reader.raw(reader.remaining);
        return { kind: 'hello', versionMin, versionMax, body: undefined };
      }
      const vm = reader.text();
      const configuration = reader.bytes();
      const host = reader.text();
      const process = reader.text();
      const next = reader.varint();
      const received = next === 0 ? undefined : next - 1;
      const body = { vm, configuration, host, process, received };
      return { kind: 'hello', versionMin, versionMax, body };
    },
  },
  welcome: {
    number: 2,
    encode: (writer, message) => {
      writer.varint(message.version).text(message.host).text(message.process);
      writer.bool(message.resumed);
    },
    decode: (reader) => ({
      kind: 'welcome',
      version: reader.varint(),
      host: reader.text(),
      process: reader.text(),
      resumed: reader.bool(),
    }),
  },
  refuse: {
    number: 3,
    encode: (writer, message) => {
      writer.u8(refusalCodes.indexOf(message.code)).text(message.text);
    },
    decode: (reader) => {
      const number = reader.u8();
      const code = refusalCodes[number];
      if (code === undefined) throw new MalformedBytes(`refusal ${number}`);
      return { kind: 'refuse', code, text: reader.text() };
    },
  },
  batch: {
    number: 4,
    room: ({ entries }) => entries.length + 32,
    encode: (writer, message) => {
      writer.varint(message.firstPosition).varint(message.releasedPosition).raw(message.entries);
    },
    decode: (reader) => ({
      kind: 'batch',
      firstPosition: reader.varint(),
      releasedPosition: reader.varint(),
      entries: reader.raw(reader.remaining),
    }),
  },
  ack: {
    number: 5,
    encode: (writer, message) => {
      writer.varint(message.receivedPosition);
      writer.varint(message.executedPosition).varint64(message.executedCount);
    },
    decode: (reader) => ({
      kind: 'ack',
      receivedPosition: reader.varint(),
      executedPosition: reader.varint(),
      executedCount: reader.varint64(),
    }),
  },
  'checkpoint-begin': {
    number: 6,
    encode: (writer, message) => writer.varint(message.position).varint64(message.ticks),
    decode: (reader) => ({
      kind: 'checkpoint-begin',
      position: reader.varint(),
      ticks: reader.varint64(),
    }),
  },
  'checkpoint-chunk': {
    number: 7,
    room: ({ bytes }) => bytes.length + 32,
    encode: (writer, message) => writer.raw(message.bytes),
    decode: (reader) => ({ kind: 'checkpoint-chunk', bytes: reader.raw(reader.remaining) }),
  },
  'checkpoint-end': {
    number: 8,
    encode: () => {},
    decode: () => ({ kind: 'checkpoint-end' }),
  },
  'checkpoint-ack': {
    number: 9,
    encode: (writer, message) => writer.varint(message.chunks),
    decode: (reader) => ({ kind: 'checkpoint-ack', chunks: reader.varint() }),
  },
  'blocks-ask': {
    number: 10,
    encode: (writer, message) => {
      writer.varint(message.disk).varint(message.firstBlock).varint(message.hashes.length);
      for (const hash of message.hashes) writer.bytes(hash);
    },
    decode: (reader) => ({
      kind: 'blocks-ask',
      disk: reader.varint(),
      firstBlock: reader.varint(),
      hashes: times(reader, () => {
        const hash = reader.bytes();
        if (hash.length === 0 || hash.length > 64) {
          throw new MalformedBytes(`a hash of ${hash.length} bytes`);
        }
        return hash;
      }),
    }),
  },
  blocks: {
    number: 11,
    encode: (writer, message) => {
      writer.varint(message.disk).varint(message.firstBlock).varint(message.blocks.length);
      for (const block of message.blocks) writer.bytes(block ?? new Uint8Array(0));
    },
    decode: (reader) => ({
      kind: 'blocks',
      disk: reader.varint(),
      firstBlock: reader.varint(),
      blocks: times(reader, () => {
        const block = reader.bytes();
        return block.length === 0 ? undefined : block;
      }),
    }),
  },
  ready: { number: 12, encode: () => {}, decode: () => ({ kind: 'ready' }) },
  eligible: {
    number: 13,
    encode: (writer, message) => writer.varint(message.epoch).varint(message.generation),
    decode: (reader) => ({
      kind: 'eligible',
      epoch: reader.varint(),
      generation: reader.varint(),
    }),
  },
  consent: {
    number: 14,
    encode: (writer, message) => writer.varint(message.position),
    decode: (reader) => ({ kind: 'consent', position: reader.varint() }),
  },
  claimed: {
    number: 15,
    encode: (writer, message) => writer.varint(message.generation),
    decode: (reader) => ({ kind: 'claimed', generation: reader.varint() }),
  },
  divergence: {
    number: 16,
    encode: (writer, { divergence }) => {
      writer.varint(divergence.position).varint64(divergence.count);
      writer.text(divergence.expected).text(divergence.actual);
      writer.varint(divergence.recent.length);
      for (const line of divergence.recent) writer.text(line);
    },
    decode: (reader) => {
      const position = reader.varint();
      const count = reader.varint64();
      const expected = reader.text();
      const actual = reader.text();
      const recent = times(reader, () => reader.text());
      return { kind: 'divergence', divergence: { position, count, expected, actual, recent } };
    },
  },
  'disk-failed': {
    number: 17,
    encode: (writer, message) => writer.varint(message.disk),
    decode: (reader) => ({ kind: 'disk-failed', disk: reader.varint() }),
  },
  ping: {
    number: 18,
    encode: () => {},
    decode: () => ({ kind: 'ping' }),
  },
  typed: {
    number: 19,
    encode: (writer, message) => writer.varint(message.bytes),
    decode: (reader) => ({ kind: 'typed', bytes: reader.varint() }),
  },
};

/** A short list: each item takes at least a byte, so a lying length fails before it costs anything. */
function times<T>(reader: ByteReader, item: () => T): T[] {
  const length = reader.varint();
  if (length > blocksMax) throw new MalformedBytes(`${length} items, at most ${blocksMax}`);
  return Array.from({ length }, item);
}

const rowOfNumber: (Row<Kind> | undefined)[] = [];
for (const row of Object.values(rows) as Row<Kind>[]) {
  assert(rowOfNumber[row.number] === undefined, `two kinds of message have number ${row.number}`);
  rowOfNumber[row.number] = row;
}

export function encodeMessage(message: Message): Uint8Array {
  const row = rows[message.kind] as Row<Kind>;
  const writer = new ByteWriter(row.room?.(message) ?? 128);
  writer.u8(row.number);
  row.encode(writer, message);
  return writer.close();
}

/** In front of a batch's entries: what else their message has (17 bytes at most), and a link's own. */
export const batchHeadroomBytes = 32;

/**
 * The message of a batch, made in front of its entries where they lie: a log of 30 MB/s is not
 * copied once more for a few bytes.
 *
 * @param batch whose entries have `batchHeadroomBytes` of their buffer in front of them
 * @returns the message, and how many of them are left
 */
export function encodeInFront(batch: BatchMessage): { message: Uint8Array; headroomBytes: number } {
  const { entries } = batch;
  const head = encodeMessage({ ...batch, entries: new Uint8Array(0) });
  const headroomBytes = batchHeadroomBytes - head.length;
  assert(headroomBytes >= 0 && entries.byteOffset >= batchHeadroomBytes, 'no room for a header');
  const length = head.length + entries.length;
  const message = new Uint8Array(entries.buffer, entries.byteOffset - head.length, length);
  message.set(head);
  return { message, headroomBytes };
}

export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes);
  const number = reader.u8();
  const row = rowOfNumber[number];
  if (row === undefined) throw new MalformedBytes(`messages of kind ${number} are unknown here`);
  const message = row.decode(reader);
  reader.end();
  return message;
}

/** The newest version that both sides speak. */
export function chooseVersion(theirMin: number, theirMax: number): number | undefined {
  const version = Math.min(theirMax, protocolVersions.max);
  return version >= Math.max(theirMin, protocolVersions.min) ? version : undefined;
}
