/**
 * The shadow's part in building a replica: makes its disk equal to the primary's while both run.
 * Twin of replica-source.ts.
 *
 * The target hashes its own blocks, whatever is in them (nothing, or writes of a discarded future),
 * and the source sends those that differ. Meanwhile the shadow's machine writes to the same disk:
 *
 *   - A sector that the machine has written since its checkpoint is never overwritten by a copy,
 *     which might be older.
 *   - Any other sector may receive data that the primary wrote later than the shadow has executed.
 *     The shadow will write the same again, and until `ready` it reads nothing from this replica:
 *     completions carry their data.
 *
 * So once every block has been compared, the disk is what the machine's own history says it is.
 */
import { assert } from '../base/assert.ts';
import { MalformedBytes } from '../base/bytes.ts';
import type { DiskRequest } from '../machine/effects.ts';
import type { DiskShape } from './disk-ledger.ts';
import { type Blocks, type BlocksAsk, blockBytes } from './messages.ts';
import type { DiskCompletion, Disks } from './ports.ts';

const sectorBytes = 512;
const sectorsPerBlock = blockBytes / sectorBytes;
/** A quarter of a megabyte at a time, so that the log does not queue behind it for long. */
const blocksPerAsk = 4;
const asksMax = 4;

/** A stretch of blocks on its way: hashed here, asked for, written here. */
interface Stretch {
  readonly disk: number;
  readonly firstBlock: number;
  readonly hashes: Uint8Array[];
  /** Own requests under way. */
  missing: number;
  state: 'hashing' | 'asked' | 'writing';
}

/** How far a replica has come: of all bytes, those compared and on the disk; what had to be sent. */
export interface ReplicaProgress {
  readonly bytesTotal: number;
  readonly bytesCompared: number;
  readonly bytesSent: number;
}

export class ReplicaTarget {
  readonly #disks: Disks;
  readonly #shapes: readonly DiskShape[];
  readonly #hash: (bytes: Uint8Array) => Uint8Array;
  readonly #written: Uint8Array[];
  readonly #requests = new Map<number, { stretch: Stretch; index: number }>();
  readonly #flushes = new Set<number>();
  #stretches: Stretch[] = [];
  #nextRequest = 0;
  #disk = 0;
  #block = 0;
  #flushed = false;
  #bytesCompared = 0;
  #bytesSent = 0;

  constructor(disks: Disks, shapes: readonly DiskShape[], hash: (bytes: Uint8Array) => Uint8Array) {
    this.#disks = disks;
    this.#shapes = shapes;
    this.#hash = hash;
    this.#written = shapes.map(
      ({ length, shared }) => new Uint8Array(shared ? 0 : Math.ceil(length / sectorBytes / 8)),
    );
  }

  get nextRequest(): number {
    return this.#nextRequest;
  }

  get progress(): ReplicaProgress {
    const bytesTotal = this.#shapes.reduce(
      (sum, { length, shared }) => sum + (shared ? 0 : length),
      0,
    );
    return { bytesTotal, bytesCompared: this.#bytesCompared, bytesSent: this.#bytesSent };
  }

  /** Every block has been compared and is on the disk. */
  get whole(): boolean {
    return this.#flushed && this.#flushes.size === 0;
  }

  /** The machine is about to submit this to the own replica. */
  guestWrites(request: DiskRequest): void {
    if (request.action !== 'write' && request.action !== 'discard') return;
    const bits = this.#written[request.disk];
    if (bits === undefined || bits.length === 0) return;
    const end = (request.offset + request.length) / sectorBytes;
    for (let sector = request.offset / sectorBytes; sector < end; sector++) {
      bits[sector >> 3]! |= 1 << (sector & 7);
    }
  }

  /** Begins what can begin. */
  pump(): void {
    while (this.#stretches.length < asksMax) {
      const shape = this.#shapes[this.#disk];
      if (shape === undefined) break;
      const blocks = shape.shared ? 0 : Math.ceil(shape.length / blockBytes);
      if (this.#block >= blocks) {
        this.#disk++;
        this.#block = 0;
        continue;
      }
      const count = Math.min(blocksPerAsk, blocks - this.#block);
      this.#begin(shape, this.#disk, this.#block, count);
      this.#block += count;
    }
    const copied = this.#stretches.length === 0 && this.#disk >= this.#shapes.length;
    if (copied && !this.#flushed) this.#flush();
  }

  /** @returns an ask to send, 'failed' if the disk is, else undefined */
  diskDone(completion: DiskCompletion): BlocksAsk | 'failed' | undefined {
    if (this.#flushes.delete(completion.request)) return completion.ok ? undefined : 'failed';
    const under = this.#requests.get(completion.request);
    if (under === undefined) return undefined;
    this.#requests.delete(completion.request);
    if (!completion.ok) return 'failed';
    const { stretch, index } = under;
    stretch.missing--;
    if (stretch.state === 'hashing') {
      stretch.hashes[index] = this.#hash(completion.data);
      if (stretch.missing > 0) return undefined;
      stretch.state = 'asked';
      return askOf(stretch);
    }
    if (stretch.missing === 0) this.#finish(stretch);
    return undefined;
  }

  /** After a resumed link: the asks whose answers may be lost. */
  unanswered(): BlocksAsk[] {
    return this.#stretches.filter(({ state }) => state === 'asked').map(askOf);
  }

  /** The primary's blocks where they differ. An answer that came twice is ignored. */
  answered(answer: Blocks): void {
    const stretch = this.#stretches.find(
      ({ disk, firstBlock }) => disk === answer.disk && firstBlock === answer.firstBlock,
    );
    if (stretch === undefined || stretch.state !== 'asked') return;
    if (answer.blocks.length !== stretch.hashes.length) {
      throw new MalformedBytes(`${answer.blocks.length} blocks for ${stretch.hashes.length}`);
    }
    stretch.state = 'writing';
    for (const [index, block] of answer.blocks.entries()) {
      if (block === undefined) continue;
      this.#bytesSent += block.length;
      this.#write(stretch, index, block);
    }
    if (stretch.missing === 0) this.#finish(stretch);
  }

  #begin(shape: DiskShape, disk: number, firstBlock: number, count: number): void {
    const stretch: Stretch = { disk, firstBlock, hashes: [], missing: count, state: 'hashing' };
    this.#stretches.push(stretch);
    for (let index = 0; index < count; index++) {
      const offset = (firstBlock + index) * blockBytes;
      const length = Math.min(blockBytes, shape.length - offset);
      this.#submit(stretch, index, 'read', offset, length, new Uint8Array(0));
    }
  }

  /** Writes the runs of sectors that the machine has not written itself. */
  #write(stretch: Stretch, index: number, block: Uint8Array): void {
    const { length } = this.#shapes[stretch.disk]!;
    const offset = (stretch.firstBlock + index) * blockBytes;
    if (block.length !== Math.min(blockBytes, length - offset)) {
      throw new MalformedBytes(`a block of ${block.length} bytes`);
    }
    const bits = this.#written[stretch.disk]!;
    const first = (stretch.firstBlock + index) * sectorsPerBlock;
    const sectors = block.length / sectorBytes;
    const isWritten = (at: number) => (bits[(first + at) >> 3]! & (1 << ((first + at) & 7))) !== 0;
    for (let at = 0; at < sectors; ) {
      let end = at;
      while (end < sectors && !isWritten(end)) end++;
      if (end > at) {
        const data = block.subarray(at * sectorBytes, end * sectorBytes);
        stretch.missing++;
        this.#submit(stretch, index, 'write', offset + at * sectorBytes, data.length, data);
      }
      at = end + 1;
    }
  }

  #submit(
    stretch: Stretch,
    index: number,
    action: 'read' | 'write',
    offset: number,
    length: number,
    data: Uint8Array,
  ): void {
    const request = this.#nextRequest++;
    this.#requests.set(request, { stretch, index });
    this.#disks.submit('copy', { disk: stretch.disk, request, action, offset, length, data });
  }

  #finish(stretch: Stretch): void {
    assert(stretch.missing === 0, 'a stretch finished early');
    this.#stretches = this.#stretches.filter((other) => other !== stretch);
    const from = stretch.firstBlock * blockBytes;
    const to = from + stretch.hashes.length * blockBytes;
    this.#bytesCompared += Math.min(to, this.#shapes[stretch.disk]!.length) - from;
  }

  #flush(): void {
    this.#flushed = true;
    for (const [disk, { shared }] of this.#shapes.entries()) {
      if (shared) continue;
      const request = this.#nextRequest++;
      this.#flushes.add(request);
      const data = new Uint8Array(0);
      this.#disks.submit('copy', { disk, request, action: 'flush', offset: 0, length: 0, data });
    }
  }
}

function askOf({ disk, firstBlock, hashes }: Stretch): BlocksAsk {
  return { kind: 'blocks-ask', disk, firstBlock, hashes };
}
