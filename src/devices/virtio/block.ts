/**
 * Block device (virtio 1.2, section 5.2): one queue, asynchronous requests.
 *
 * A request: the guest's kick -> `#start` -> disk output with a number; the world answers with a
 * disk input -> `complete` -> data into guest memory, status, interrupt. Data to be written are
 * copied at the kick and kept until the request completes: a shadow that goes live issues every
 * pending request again, and by then the guest may have changed its memory.
 *
 * A request lives until the world has answered it, even if the guest resets the device meanwhile;
 * then its reply is gone, and the answer only ends it. So numbers never repeat, and never start
 * anew. What waits is bounded: with too much pending, the queue rests until an answer comes.
 */
import { assert } from '../../base/assert.ts';
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import { MalformedBytes } from '../../base/bytes.ts';
import type { DeviceContext } from '../../machine/device.ts';
import type { DiskInput, DiskRequest } from '../../machine/effects.ts';
import { type Chain, gather, type Reply, restoreReply, saveReply, scatter } from './chain.ts';
import { VirtioMmio } from './mmio.ts';
import type { Queue } from './queue.ts';

export const VIRTIO_ID_BLOCK = 2;
export const VIRTIO_BLK_F_SIZE_MAX = 1;
export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_DISCARD = 13;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

const sectorBytes = 512;
const headerBytes = 16;
const discardSegmentBytes = 16;
const idBytes = 20;
const queueSize = 256;

const segmentBytesMax = 65_536;
const segmentsMax = queueSize - 2;
const requestBytesMax = segmentBytesMax * segmentsMax;
const discardSectorsMax = 2 ** 22;
/** Above either, no further request is taken off the ring. */
const pendingBytesMax = 2 ** 25;
const pendingRequestsMax = 2 * queueSize;

const actions = ['read', 'write', 'flush', 'discard'] as const;
const nothing = new Uint8Array(0);

export interface BlockConfiguration {
  readonly disk: number;
  /** Bytes, a multiple of 512. */
  readonly capacity: number;
  readonly readOnly?: boolean;
  /** Up to 20 bytes of ASCII, which Linux shows as `serial`. */
  readonly serial?: string;
}

interface Pending {
  readonly request: DiskRequest;
  /** Undefined once the driver has reset the device. */
  reply: Reply | undefined;
}

/** What a request comes to: something for the disk to do, or a status and data at once. */
type Started = Omit<DiskRequest, 'disk' | 'request'> | { status: number; data?: Uint8Array };

export class VirtioBlock extends VirtioMmio {
  readonly #disk: number;
  readonly #capacity: number;
  readonly #readOnly: boolean;
  readonly #id: Uint8Array;
  readonly #queue: Queue;
  #nextRequest = 0;
  #pending: Pending[] = [];
  #pendingBytes = 0;

  constructor(configuration: BlockConfiguration, context: DeviceContext) {
    const { disk, capacity, readOnly = false, serial = '' } = configuration;
    assert(capacity % sectorBytes === 0, 'a disk of whole sectors');
    super(
      {
        deviceId: VIRTIO_ID_BLOCK,
        features: [
          VIRTIO_BLK_F_SIZE_MAX,
          VIRTIO_BLK_F_SEG_MAX,
          VIRTIO_BLK_F_BLK_SIZE,
          VIRTIO_BLK_F_FLUSH,
          readOnly ? VIRTIO_BLK_F_RO : VIRTIO_BLK_F_DISCARD,
        ],
        queueSizes: [queueSize],
        configuration: configurationSpace(capacity),
      },
      context,
    );
    this.#disk = disk;
    this.#capacity = capacity;
    this.#readOnly = readOnly;
    this.#id = new TextEncoder().encode(serial).subarray(0, idBytes);
    this.#queue = this.queues[0]!;
  }

  /** Requests without an answer, oldest first. */
  get pendingRequests(): DiskRequest[] {
    return this.#pending.map(({ request }) => request);
  }

  /** Whether the guest waits for the answer, which ends in no reply once it has reset the device. */
  awaits(number: number): boolean {
    return this.#pending.some(({ request, reply }) => request.request === number && reply);
  }

  /** A disk input. */
  complete(input: DiskInput): void {
    const index = this.#pending.findIndex(({ request }) => request.request === input.request);
    assert(index >= 0, `no request ${input.request} is pending on disk ${this.#disk}`);
    const { request, reply } = this.#pending.splice(index, 1)[0]!;
    this.#pendingBytes -= request.length;
    const expected = input.ok && request.action === 'read' ? request.length : 0;
    assert(input.data.length === expected, `request ${input.request}: wrong length of data`);
    if (!this.live) return;
    if (reply !== undefined) {
      this.#finish(reply, input.ok ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR, input.data);
    }
    this.#takeRequests();
  }

  protected override kicked(_queue: number): void {
    this.#takeRequests();
  }

  protected override resetDevice(): void {
    for (const pending of this.#pending) pending.reply = undefined;
  }

  protected override saveDevice(writer: ByteWriter): void {
    writer.varint(this.#nextRequest).varint(this.#pending.length);
    for (const { request, reply } of this.#pending) {
      writer.varint(request.request).u8(actions.indexOf(request.action));
      writer.varint(request.offset).varint(request.length).bytes(request.data);
      saveReply(writer, reply);
    }
  }

  protected override restoreDevice(reader: ByteReader): void {
    this.#nextRequest = reader.varint();
    this.#pending = reader.list(() => {
      const request = reader.varint();
      const action = actions[reader.u8()];
      if (action === undefined) throw new MalformedBytes('an unknown action of a disk');
      const offset = reader.varint();
      const length = reader.varint();
      const data = reader.bytes().slice();
      const reply = restoreReply(reader);
      return { request: { disk: this.#disk, request, action, offset, length, data }, reply };
    });
    this.#pendingBytes = this.#pending.reduce((sum, { request }) => sum + request.length, 0);
  }

  #takeRequests(): void {
    while (this.#pending.length < pendingRequestsMax && this.#pendingBytes < pendingBytesMax) {
      const chain = this.#queue.pop();
      if (chain === undefined) break;
      if (chain.readableBytes < headerBytes || chain.writableBytes < 1) {
        this.fail();
        return;
      }
      this.#start(chain);
    }
    this.signal(this.#queue);
  }

  #start(chain: Chain): void {
    const started = this.#interpret(chain);
    if ('status' in started) {
      this.#finish(chain, started.status, started.data ?? nothing);
      return;
    }
    const request = { disk: this.#disk, request: this.#nextRequest++, ...started };
    const { head, writable, writableBytes } = chain;
    this.#pending.push({ request, reply: { head, writable, writableBytes } });
    this.#pendingBytes += request.length;
    this.context.emit({ kind: 'disk', request });
  }

  /** Layout: header, then what is written; or what is read, then the status byte. */
  #interpret(chain: Chain): Started {
    const { memory } = this.context;
    const header = new DataView(gather(memory, chain.readable, 0, headerBytes).buffer);
    const sector = header.getBigUint64(8, true);
    const outBytes = chain.readableBytes - headerBytes;
    const inBytes = chain.writableBytes - 1;
    switch (header.getUint32(0, true)) {
      case VIRTIO_BLK_T_IN: {
        const offset = this.#offset(sector, inBytes, requestBytesMax);
        if (offset === undefined) return { status: VIRTIO_BLK_S_IOERR };
        return { action: 'read', offset, length: inBytes, data: nothing };
      }
      case VIRTIO_BLK_T_OUT: {
        const offset = this.#offset(sector, outBytes, requestBytesMax);
        if (offset === undefined || this.#readOnly) return { status: VIRTIO_BLK_S_IOERR };
        const data = gather(memory, chain.readable, headerBytes, outBytes);
        return { action: 'write', offset, length: outBytes, data };
      }
      case VIRTIO_BLK_T_FLUSH:
        return { action: 'flush', offset: 0, length: 0, data: nothing };
      case VIRTIO_BLK_T_GET_ID: {
        const data = new Uint8Array(Math.min(idBytes, inBytes));
        data.set(this.#id.subarray(0, data.length));
        return { status: VIRTIO_BLK_S_OK, data };
      }
      case VIRTIO_BLK_T_DISCARD:
        return this.#interpretDiscard(chain, outBytes);
      default:
        return { status: VIRTIO_BLK_S_UNSUPP };
    }
  }

  #interpretDiscard(chain: Chain, outBytes: number): Started {
    if (!this.negotiated(VIRTIO_BLK_F_DISCARD)) return { status: VIRTIO_BLK_S_UNSUPP };
    if (outBytes !== discardSegmentBytes) return { status: VIRTIO_BLK_S_IOERR };
    const bytes = gather(this.context.memory, chain.readable, headerBytes, outBytes);
    const segment = new DataView(bytes.buffer);
    if (segment.getUint32(12, true) !== 0) return { status: VIRTIO_BLK_S_UNSUPP };
    const length = segment.getUint32(8, true) * sectorBytes;
    const lengthMax = discardSectorsMax * sectorBytes;
    const offset = this.#offset(segment.getBigUint64(0, true), length, lengthMax);
    if (offset === undefined) return { status: VIRTIO_BLK_S_IOERR };
    return { action: 'discard', offset, length, data: nothing };
  }

  /** Where a range begins in bytes, if it is of whole sectors, not empty and all on the disk. */
  #offset(sector: bigint, length: number, lengthMax: number): number | undefined {
    if (length === 0 || length % sectorBytes !== 0 || length > lengthMax) return undefined;
    if (sector >= BigInt(this.#capacity / sectorBytes)) return undefined;
    const offset = Number(sector) * sectorBytes;
    return offset + length <= this.#capacity ? offset : undefined;
  }

  /**
   * Data, status byte, used ring. The status is the last byte that the device may write, so all
   * counts as written: a driver must not look at bytes beyond the length given.
   */
  #finish(reply: Reply, status: number, data: Uint8Array): void {
    const { memory } = this.context;
    scatter(memory, reply.writable, 0, data);
    scatter(memory, reply.writable, reply.writableBytes - 1, Uint8Array.of(status));
    this.#queue.push(reply.head, reply.writableBytes);
  }
}

/** struct virtio_blk_config, up to the fields of discard. */
function configurationSpace(capacity: number): Uint8Array {
  const bytes = new Uint8Array(60);
  const fields = new DataView(bytes.buffer);
  fields.setBigUint64(0, BigInt(capacity / sectorBytes), true);
  fields.setUint32(8, segmentBytesMax, true);
  fields.setUint32(12, segmentsMax, true);
  fields.setUint32(20, sectorBytes, true);
  fields.setUint16(34, 1, true); // num_queues
  fields.setUint32(36, discardSectorsMax, true);
  fields.setUint32(40, 1, true); // max_discard_seg
  fields.setUint32(44, 1, true); // discard_sector_alignment
  return bytes;
}
