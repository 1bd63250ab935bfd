/**
 * What this host knows of a VM at the arbiter (lockstep/arbiter-knowledge.ts), durable in the VM's
 * folder: asks and replies pass through here, and go on once what they mean is on the disk.
 *
 * Two slots of one file are written in turn, each with a sequence number and a CRC: a write that a
 * crash tears leaves the other slot, and no write but the first changes the file's size, so one
 * `fdatasync` of one block is all that a claim waits for.
 */
import { closeSync, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { crc32 } from '../../base/crc32.ts';
import type { Ask, Reply } from '../../lockstep/arbiter.ts';
import { ArbiterKnowledge, type SavedKnowledge } from '../../lockstep/arbiter-knowledge.ts';

const slotBytes = 4096;
/** CRC of the rest, sequence, length: 4 bytes each, little-endian; then JSON. */
const headerBytes = 12;

interface Slot {
  readonly sequence: number;
  readonly saved: SavedKnowledge;
}

export class KnowledgeFile {
  readonly #knowledge: ArbiterKnowledge;
  readonly #file: FileHandle;
  readonly #failed: (error: Error) => void;
  #sequence: number;
  #text: string;
  #stored = Promise.resolve(true);

  private constructor(file: FileHandle, slot: Slot | undefined, failed: (error: Error) => void) {
    this.#file = file;
    this.#failed = failed;
    this.#knowledge = new ArbiterKnowledge(slot?.saved);
    this.#sequence = slot?.sequence ?? 0;
    this.#text = JSON.stringify(this.#knowledge.saved);
  }

  /** @param failed the disk does not take it: nothing goes on until it does */
  static async open(directory: string, failed: (error: Error) => void): Promise<KnowledgeFile> {
    const path = join(directory, 'arbiter.known');
    const slot = readOrMake(path);
    return new KnowledgeFile(await open(path, 'r+'), slot, failed);
  }

  /** The last generation that this host has heard of. */
  get newest(): { readonly epoch: number; readonly generation: number } {
    return this.#knowledge.saved.known ?? { epoch: 0, generation: 0 };
  }

  /** For a VM of which no process lives here; undefined if this host knows nothing of it. */
  async registration(vm: string, host: string, epoch: number): Promise<Ask | undefined> {
    const ask = this.#knowledge.registration(vm, host, epoch);
    return ask !== undefined && (await this.#store()) ? ask : undefined;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** @returns the ask to send, or undefined if what it means could not be stored */
  async asking(ask: Ask): Promise<Ask | undefined> {
    const complete = this.#knowledge.asking(ask);
    return (await this.#store()) ? complete : undefined;
  }

  /** @returns whether the copy may act on the reply */
  async replied(reply: Reply): Promise<boolean> {
    if (!this.#knowledge.replied(reply) || !(await this.#store())) return false;
    // A promise that was made meanwhile.
    return this.#knowledge.replied(reply);
  }

  /** @returns whether all that was known at the call is on the disk */
  #store(): Promise<boolean> {
    const stored = this.#stored.then(() => this.#write());
    this.#stored = stored;
    return stored;
  }

  /** One at a time, and nothing for what is there already. */
  async #write(): Promise<boolean> {
    const text = JSON.stringify(this.#knowledge.saved);
    if (text === this.#text) return true;
    const sequence = this.#sequence + 1;
    const slot = encodeSlot(sequence, text);
    try {
      await this.#file.write(slot, 0, slotBytes, (sequence % 2) * slotBytes);
      await this.#file.datasync();
    } catch (error) {
      this.#failed(error as Error);
      return false;
    }
    this.#sequence = sequence;
    this.#text = text;
    return true;
  }
}

function encodeSlot(sequence: number, text: string): Buffer {
  const slot = Buffer.alloc(slotBytes);
  const body = Buffer.from(text);
  assert(headerBytes + body.length <= slotBytes, 'more knowledge than a slot holds');
  slot.writeUInt32LE(sequence, 4);
  slot.writeUInt32LE(body.length, 8);
  slot.set(body, headerBytes);
  slot.writeUInt32LE(crc32(slot.subarray(4)), 0);
  return slot;
}

/** @returns undefined for a slot that was never written, or is torn */
function decodeSlot(slot: Buffer): Slot | undefined {
  const sequence = slot.readUInt32LE(4);
  if (sequence === 0 || crc32(slot.subarray(4)) !== slot.readUInt32LE(0)) return undefined;
  const text = slot.toString('utf8', headerBytes, headerBytes + slot.readUInt32LE(8));
  return { sequence, saved: JSON.parse(text) as SavedKnowledge };
}

function readOrMake(path: string): Slot | undefined {
  // Not truncated, and made at its whole size.
  const file = openSync(path, 'a+', 0o600);
  try {
    const both = Buffer.alloc(2 * slotBytes);
    const size = readSync(file, both, 0, both.length, 0);
    if (size < both.length) {
      writeSync(file, both, size, both.length - size);
      fdatasyncSync(file);
    }
    const slots = [0, slotBytes].map((at) => decodeSlot(both.subarray(at, at + slotBytes)));
    const [first, second] = slots;
    if (first === undefined || second === undefined) return first ?? second;
    return first.sequence > second.sequence ? first : second;
  } finally {
    closeSync(file);
  }
}
