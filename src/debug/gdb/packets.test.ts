import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodePacket, PacketReader, packetBytesMax, type Received } from './packets.ts';
import { registers, targetDescription } from './registers.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const textOf = (data: Uint8Array): string => String.fromCharCode(...data);

function received(pieces: readonly Uint8Array[]): Received[] {
  const reader = new PacketReader();
  return pieces.flatMap((piece) => reader.push(piece));
}

test('a packet comes back whatever is in it, in whatever pieces it comes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 9 }), (data, step) => {
      const encoded = encodePacket(textOf(data));
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < encoded.length; at += step)
        pieces.push(encoded.subarray(at, at + step));
      const [packet, ...rest] = received(pieces);
      assert.ok(packet?.kind === 'packet');
      assert.deepEqual([...packet.data], [...data]);
      assert.equal(rest.length, 0);
    }),
  );
});

test('damage is noticed, and what follows is read', () => {
  const kinds = received([bytesOf('noise$qC#00$qC#b4\x03+-$a$qC#b4')]).map(({ kind }) => kind);
  assert.deepEqual(kinds, ['damaged', 'packet', 'interrupt', 'acknowledged', 'again', 'packet']);
});

test('a packet that never ends takes no memory, and is refused at its end', () => {
  const long = new Uint8Array(4 * packetBytesMax).fill(0x61);
  const all = received([bytesOf('$'), long, bytesOf('#00'), bytesOf('$qC#b4')]);
  assert.deepEqual(
    all.map(({ kind }) => kind),
    ['damaged', 'packet'],
  );
});

test('the target description names every register once, in the order of `g`', () => {
  const named = [...targetDescription().matchAll(/<reg name="(\w+)" .*?regnum="(\d+)"/g)];
  assert.equal(named.length, registers.length);
  for (const [, name, number] of named) assert.equal(registers[Number(number)]!.name, name);
});
