/**
 * The primary's part in building a replica: compares hashes, answers with the blocks that differ.
 * Twin of replica-target.ts, where the algorithm is told.
 *
 * From: the shadow's `blocks-ask`. To: its `blocks`. Reads the primary's own disk at whatever moment
 * it comes to it: the target knows how to deal with blocks from its future.
 */
import { MalformedBytes } from '../base/bytes.ts';
import type { DiskShape } from './disk-ledger.ts';
import { type Blocks, type BlocksAsk, blockBytes } from './messages.ts';
import type { DiskCompletion, Disks } from './ports.ts';

interface Answer {
  readonly ask: BlocksAsk;
  readonly blocks: (Uint8Array | undefined)[];
  missing: number;
}

/** At most so many unanswered asks; the target keeps fewer. */
const asksMax = 16;

export class ReplicaSource {
  readonly #disks: Disks;
  readonly #shapes: readonly DiskShape[];
  readonly #hash: (bytes: Uint8Array) => Uint8Array;
  readonly #reads = new Map<number, { answer: Answer; index: number }>();
  #nextRequest: number;

  /** @param firstRequest copy requests are numbered from here; never reused on one host */
  constructor(
    disks: Disks,
    shapes: readonly DiskShape[],
    hash: (bytes: Uint8Array) => Uint8Array,
    firstRequest: number,
  ) {
    this.#disks = disks;
    this.#shapes = shapes;
    this.#hash = hash;
    this.#nextRequest = firstRequest;
  }

  get nextRequest(): number {
    return this.#nextRequest;
  }

  asked(ask: BlocksAsk): void {
    const shape = this.#shapes[ask.disk];
    const blocks = Math.ceil((shape?.length ?? 0) / blockBytes);
    if (shape === undefined || shape.shared || ask.firstBlock + ask.hashes.length > blocks) {
      throw new MalformedBytes(`blocks ${ask.firstBlock}+${ask.hashes.length} of disk ${ask.disk}`);
    }
    if (this.#reads.size > asksMax * 64) throw new MalformedBytes('too many blocks asked for');
    const answer: Answer = { ask, blocks: [], missing: ask.hashes.length };
    for (let index = 0; index < ask.hashes.length; index++) {
      const request = this.#nextRequest++;
      const offset = (ask.firstBlock + index) * blockBytes;
      const length = Math.min(blockBytes, shape.length - offset);
      this.#reads.set(request, { answer, index });
      const data = new Uint8Array(0);
      this.#disks.submit('copy', { disk: ask.disk, request, action: 'read', offset, length, data });
    }
  }

  /** @returns an answer that is complete, 'failed' if the disk is, else undefined */
  diskDone(completion: DiskCompletion): Blocks | 'failed' | undefined {
    const read = this.#reads.get(completion.request);
    if (read === undefined) return undefined;
    this.#reads.delete(completion.request);
    if (!completion.ok) return 'failed';
    const { answer, index } = read;
    const same = sameBytes(this.#hash(completion.data), answer.ask.hashes[index]!);
    answer.blocks[index] = same ? undefined : completion.data;
    if (--answer.missing > 0) return undefined;
    const { disk, firstBlock } = answer.ask;
    return { kind: 'blocks', disk, firstBlock, blocks: answer.blocks };
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
