/**
 * What two switches say to each other over a trunk, which is a stream over mutual TLS.
 *
 * Every message is a kind byte and a body, behind the 4-byte length of framing.ts. Both sides open
 * with `hello`; the versions must be equal, since a cluster is upgraded host by host and a switch
 * that guesses would be worse than one that waits. Malformed messages throw `MalformedBytes`, a
 * foreign protocol or version an `UmbraError`: in both cases the trunk is closed and made anew.
 *
 * Bodies are written with base/bytes: integers little-endian, varints, lengths before bytes.
 */
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { FRAME_BYTES_MAX } from './frames/ethernet.ts';
import type { FrameBatch } from './framing.ts';
import type { PortGeneration, VmNumber } from './switch.ts';
import { copyBytes, type Mac } from './wire.ts';

export const TRUNK_VERSION = 1;
const MAGIC = 0x6b6e7274; // "trnk"
const NAME_BYTES_MAX = 255;
const MACS_MAX = 64;
const ADDRESSES_MAX = 64;

/** Kinds are numbered once and never reused. */
const KIND = { hello: 1, frame: 2, announcement: 3, ping: 4, pong: 5 } as const;

/** Kind, VM, generation: what stands before a frame. */
const FRAME_HEADER_BYTES = 1 + 4 + 8;
export const TRUNK_MESSAGE_BYTES_MAX = FRAME_HEADER_BYTES + FRAME_BYTES_MAX;

export interface TrunkHello {
  readonly kind: 'hello';
  /** The host's name in the cluster; the receiver compares it with the peer's certificate. */
  readonly name: string;
}

export interface TrunkFrame {
  readonly kind: 'frame';
  readonly vm: VmNumber;
  readonly generation: PortGeneration;
  /** When decoded: a view into the message. */
  readonly frame: Uint8Array;
}

/** A VM's addresses as learned from what it sent. */
export interface VmAddresses {
  readonly mac: Mac;
  readonly ipv4: readonly number[];
  readonly ipv6: readonly Uint8Array[];
}

/** The VM is now behind the sender of this message, in this generation. */
export interface TrunkAnnouncement {
  readonly kind: 'announcement';
  readonly vm: VmNumber;
  readonly generation: PortGeneration;
  readonly addresses: readonly VmAddresses[];
}

/** A sign of life; the peer answers `pong` with the same number. */
export interface TrunkPing {
  readonly kind: 'ping' | 'pong';
  readonly number: number;
}

export type TrunkMessage = TrunkHello | TrunkFrame | TrunkAnnouncement | TrunkPing;

const frameHeader = new Uint8Array(FRAME_HEADER_BYTES);
const frameHeaderView = new DataView(frameHeader.buffer);

/** Adds a frame to a batch for the trunk's socket without an intermediate copy. */
export function addTrunkFrame(
  batch: FrameBatch,
  vm: VmNumber,
  generation: PortGeneration,
  frame: Uint8Array,
): void {
  frameHeader[0] = KIND.frame;
  frameHeaderView.setUint32(1, vm, true);
  frameHeaderView.setUint32(5, generation >>> 0, true);
  frameHeaderView.setUint32(9, Math.floor(generation / 2 ** 32), true);
  batch.addParts(frameHeader, frame);
}

/** One message without its length, which the framing adds. */
export function encodeTrunkMessage(message: TrunkMessage): Uint8Array {
  const writer = new ByteWriter().u8(KIND[message.kind]);
  switch (message.kind) {
    case 'hello':
      return writer.u32(MAGIC).varint(TRUNK_VERSION).text(message.name).close();
    case 'frame':
      return writer.u32(message.vm).u64(BigInt(message.generation)).raw(message.frame).close();
    case 'announcement':
      writer.u32(message.vm).u64(BigInt(message.generation));
      writeAddresses(writer, message.addresses);
      return writer.close();
    case 'ping':
    case 'pong':
      return writer.varint(message.number).close();
  }
}

export function decodeTrunkMessage(bytes: Uint8Array): TrunkMessage {
  if (bytes[0] === KIND.frame) return decodeFrame(bytes);
  const reader = new ByteReader(bytes);
  const kind = reader.u8();
  switch (kind) {
    case KIND.hello:
      return decodeHello(reader);
    case KIND.announcement: {
      const vm = reader.u32();
      const generation = readGeneration(reader);
      const addresses = readAddresses(reader);
      reader.end();
      return { kind: 'announcement', vm, generation, addresses };
    }
    case KIND.ping:
    case KIND.pong: {
      const number = reader.varint();
      reader.end();
      return { kind: kind === KIND.ping ? 'ping' : 'pong', number };
    }
    default:
      throw new MalformedBytes(`no trunk message of kind ${kind}`);
  }
}

/** By hand, since this is the path of every frame between hosts. */
function decodeFrame(bytes: Uint8Array): TrunkFrame {
  if (bytes.length < FRAME_HEADER_BYTES) throw new MalformedBytes('a frame without its header');
  const high = little32(bytes, 9);
  if (high >= 2 ** 21) throw new MalformedBytes('a generation of more than 53 bits');
  return {
    kind: 'frame',
    vm: little32(bytes, 1),
    generation: high * 2 ** 32 + little32(bytes, 5),
    frame: bytes.subarray(FRAME_HEADER_BYTES),
  };
}

function little32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  );
}

function decodeHello(reader: ByteReader): TrunkHello {
  if (reader.u32() !== MAGIC) {
    throw new UmbraError(
      'trunk-foreign',
      'The peer does not speak the protocol of a trunk.',
      'Check that the address given for the trunk is that of an Umbra host or gateway.',
    );
  }
  const version = reader.varint();
  // Nothing behind the version may be looked at unless it is ours.
  if (version !== TRUNK_VERSION) {
    throw new UmbraError(
      'trunk-version',
      `The peer speaks version ${version} of the trunk protocol, this host ${TRUNK_VERSION}.`,
      'Run the same release on both hosts.',
    );
  }
  const name = reader.text();
  if (name.length > NAME_BYTES_MAX) throw new MalformedBytes('a name that is too long');
  reader.end();
  return { kind: 'hello', name };
}

function readGeneration(reader: ByteReader): PortGeneration {
  const low = reader.u32();
  const high = reader.u32();
  if (high >= 2 ** 21) throw new MalformedBytes('a generation of more than 53 bits');
  return high * 2 ** 32 + low;
}

/** Twins; also part of what a primary tells its shadow, so that an idle guest is announced too. */
export function writeAddresses(writer: ByteWriter, all: readonly VmAddresses[]): void {
  writer.varint(all.length);
  for (const { mac, ipv4, ipv6 } of all) {
    writer.varint(mac).varint(ipv4.length);
    for (const address of ipv4) writer.u32(address);
    writer.varint(ipv6.length);
    for (const address of ipv6) writer.raw(address);
  }
}

export function readAddresses(reader: ByteReader): VmAddresses[] {
  return Array.from({ length: count(reader, MACS_MAX) }, () => {
    const mac = reader.varint();
    if (mac >= 2 ** 48) throw new MalformedBytes('a MAC of more than 48 bits');
    const ipv4 = Array.from({ length: count(reader, ADDRESSES_MAX) }, () => reader.u32());
    const ipv6 = Array.from({ length: count(reader, ADDRESSES_MAX) }, () =>
      copyBytes(reader.raw(16)),
    );
    return { mac, ipv4, ipv6 };
  });
}

function count(reader: ByteReader, most: number): number {
  const value = reader.varint();
  if (value > most) throw new MalformedBytes(`${value} addresses where ${most} is the most`);
  return value;
}
