/**
 * Console device (virtio 1.2, section 5.3): a single port, Linux's `hvc0`.
 *
 * Console inputs go through `receive` into the guest's buffers, or wait in a bounded backlog until
 * there are any; what the guest sends goes out as console outputs, one a chain.
 */
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { DeviceContext } from '../../machine/device.ts';
import { gather, scatter } from './chain.ts';
import { VirtioMmio } from './mmio.ts';
import type { Queue } from './queue.ts';

export const VIRTIO_ID_CONSOLE = 3;

const RECEIVE = 0;
const TRANSMIT = 1;
const queueSize = 64;
/** Bytes of one chain that are sent at most; the rest of a longer one is dropped. */
const outputBytesMax = 65_536;
/** Bytes that wait for receive buffers at most. */
export const consoleBacklogBytesMax = 65_536;

export class VirtioConsole extends VirtioMmio {
  readonly #receiveQueue: Queue;
  readonly #transmitQueue: Queue;
  #backlog = new Uint8Array(0);

  constructor(context: DeviceContext) {
    super(
      {
        deviceId: VIRTIO_ID_CONSOLE,
        features: [],
        queueSizes: [queueSize, queueSize],
        configuration: new Uint8Array(0),
      },
      context,
    );
    [this.#receiveQueue, this.#transmitQueue] = this.queues as [Queue, Queue];
  }

  /** Console input. What is typed before the guest is ready waits too. */
  receive(bytes: Uint8Array): void {
    const taken = bytes.subarray(0, consoleBacklogBytesMax - this.#backlog.length);
    const longer = new Uint8Array(this.#backlog.length + taken.length);
    longer.set(this.#backlog);
    longer.set(taken, this.#backlog.length);
    this.#backlog = longer;
    if (this.live) this.#drainBacklog();
  }

  override reset(): void {
    super.reset();
    this.#backlog = new Uint8Array(0);
  }

  protected override kicked(queue: number): void {
    if (queue === RECEIVE) this.#drainBacklog();
    if (queue === TRANSMIT) this.#transmit();
  }

  /** A driver that starts over still wants what was typed meanwhile. */
  protected override resetDevice(): void {}

  protected override saveDevice(writer: ByteWriter): void {
    writer.bytes(this.#backlog);
  }

  protected override restoreDevice(reader: ByteReader): void {
    this.#backlog = reader.bytes().slice();
  }

  #drainBacklog(): void {
    while (this.#backlog.length > 0) {
      const chain = this.#receiveQueue.pop();
      if (chain === undefined) break;
      const part = this.#backlog.subarray(0, chain.writableBytes);
      scatter(this.context.memory, chain.writable, 0, part);
      this.#receiveQueue.push(chain.head, part.length);
      this.#backlog = this.#backlog.slice(part.length);
    }
    this.#receiveQueue.wantKicks(this.#backlog.length > 0);
    this.signal(this.#receiveQueue);
  }

  #transmit(): void {
    for (;;) {
      const chain = this.#transmitQueue.pop();
      if (chain === undefined) break;
      const length = Math.min(chain.readableBytes, outputBytesMax);
      if (length > 0) {
        const bytes = gather(this.context.memory, chain.readable, 0, length);
        this.context.emit({ kind: 'console', bytes });
      }
      this.#transmitQueue.push(chain.head, 0);
    }
    this.signal(this.#transmitQueue);
  }
}
