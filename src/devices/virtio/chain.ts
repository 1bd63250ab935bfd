/**
 * Chain: one request of a driver, the list of buffers behind one head descriptor.
 *
 * A queue makes chains out of guest memory and has checked every segment: it lies wholly in RAM and
 * is not empty. RAM does not move, so a segment stays good for as long as a device keeps it.
 * Virtio 1.2, section 2.7.4.
 */
import { assert } from '../../base/assert.ts';
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { GuestMemory } from '../../machine/device.ts';

export interface Segment {
  readonly address: bigint;
  readonly length: number;
}

export interface Chain {
  /** The descriptor's number, by which the driver knows the chain again. */
  readonly head: number;
  /** What the device reads, then what it writes. */
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
  readonly readableBytes: number;
  readonly writableBytes: number;
}

/** Copies `length` bytes out, starting `from` bytes into the segments. */
export function gather(
  memory: GuestMemory,
  segments: readonly Segment[],
  from: number,
  length: number,
): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const segment of segments) {
    if (at === length) break;
    const skipped = Math.min(from, segment.length);
    from -= skipped;
    const count = Math.min(segment.length - skipped, length - at);
    if (count === 0) continue;
    const view = memory.view(segment.address + BigInt(skipped), count);
    assert(view !== undefined, 'a segment outside RAM');
    bytes.set(view, at);
    at += count;
  }
  assert(at === length, 'gathered beyond the segments');
  return bytes;
}

/** Copies `bytes` in, starting `from` bytes into the segments. */
export function scatter(
  memory: GuestMemory,
  segments: readonly Segment[],
  from: number,
  bytes: Uint8Array,
): void {
  let at = 0;
  for (const segment of segments) {
    if (at === bytes.length) break;
    const skipped = Math.min(from, segment.length);
    from -= skipped;
    const count = Math.min(segment.length - skipped, bytes.length - at);
    if (count === 0) continue;
    const whole = at === 0 && count === bytes.length;
    const written = memory.write(
      segment.address + BigInt(skipped),
      whole ? bytes : bytes.subarray(at, at + count),
    );
    assert(written, 'a segment outside RAM');
    at += count;
  }
  assert(at === bytes.length, 'scattered beyond the segments');
}

/** What a device keeps of a chain that it answers later: where the answer goes. */
export interface Reply {
  readonly head: number;
  readonly writable: readonly Segment[];
  readonly writableBytes: number;
}

/** A reply may be gone: the driver has reset the device since. */
export function saveReply(writer: ByteWriter, reply: Reply | undefined): void {
  writer.bool(reply !== undefined);
  if (reply === undefined) return;
  writer.u16(reply.head).varint(reply.writable.length);
  for (const { address, length } of reply.writable) writer.u64(address).u32(length);
}

export function restoreReply(reader: ByteReader): Reply | undefined {
  if (!reader.bool()) return undefined;
  const head = reader.u16();
  const writable = reader.list(() => ({ address: reader.u64(), length: reader.u32() }));
  const writableBytes = writable.reduce((sum, { length }) => sum + length, 0);
  return { head, writable, writableBytes };
}
