/**
 * Entropy device (virtio 1.2, section 5.4).
 *
 * The guest offers a buffer -> entropy output with its length -> the world answers with an entropy
 * input -> `receive` fills the buffers, in the order in which they were offered. As with the disk, a
 * request lives until it is answered; after a reset by the guest its bytes go nowhere.
 */
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { DeviceContext } from '../../machine/device.ts';
import { type Reply, restoreReply, saveReply, scatter } from './chain.ts';
import { VirtioMmio } from './mmio.ts';
import type { Queue } from './queue.ts';

export const VIRTIO_ID_ENTROPY = 4;

const queueSize = 64;
/** Bytes that answer one buffer at most; the device may leave the rest of it unused. */
const answerBytesMax = 4_096;
/** With more requests open, the queue rests. */
const pendingRequestsMax = 2 * queueSize;

interface Pending {
  readonly length: number;
  /** Undefined once the driver has reset the device. */
  reply: Reply | undefined;
}

export class VirtioEntropy extends VirtioMmio {
  readonly #queue: Queue;
  #pending: Pending[] = [];

  constructor(context: DeviceContext) {
    super(
      {
        deviceId: VIRTIO_ID_ENTROPY,
        features: [],
        queueSizes: [queueSize],
        configuration: new Uint8Array(0),
      },
      context,
    );
    this.#queue = this.queues[0]!;
  }

  /** Bytes asked for and not yet answered: what a machine that goes live must ask for again. */
  get pendingBytes(): number {
    return this.#pending.reduce((sum, { length }) => sum + length, 0);
  }

  /** Entropy input: answers the oldest requests, the last of them perhaps with less than it asked. */
  receive(bytes: Uint8Array): void {
    while (bytes.length > 0) {
      const oldest = this.#pending.shift();
      if (oldest === undefined) break;
      const answer = bytes.subarray(0, oldest.length);
      bytes = bytes.subarray(answer.length);
      if (oldest.reply === undefined || !this.live) continue;
      scatter(this.context.memory, oldest.reply.writable, 0, answer);
      this.#queue.push(oldest.reply.head, answer.length);
    }
    if (this.live) this.#takeRequests();
  }

  protected override kicked(_queue: number): void {
    this.#takeRequests();
  }

  protected override resetDevice(): void {
    for (const pending of this.#pending) pending.reply = undefined;
  }

  protected override saveDevice(writer: ByteWriter): void {
    writer.varint(this.#pending.length);
    for (const { length, reply } of this.#pending) saveReply(writer.varint(length), reply);
  }

  protected override restoreDevice(reader: ByteReader): void {
    this.#pending = reader.list(() => ({
      length: reader.varint(),
      reply: restoreReply(reader),
    }));
  }

  #takeRequests(): void {
    while (this.#pending.length < pendingRequestsMax) {
      const chain = this.#queue.pop();
      if (chain === undefined) break;
      if (chain.writableBytes === 0) {
        this.fail();
        return;
      }
      const length = Math.min(chain.writableBytes, answerBytesMax);
      const { head, writable, writableBytes } = chain;
      this.#pending.push({ length, reply: { head, writable, writableBytes } });
      this.context.emit({ kind: 'entropy', length });
    }
    this.signal(this.#queue);
  }
}
