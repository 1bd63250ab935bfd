/**
 * Network device (virtio 1.2, section 5.1): one pair of queues, offloads of checksums and of
 * segments of TCP over IPv4.
 *
 * A packet out: the guest's kick -> `#transmit` -> frame output. A packet in: `deliver` (a frame
 * input) -> the receive queue, or a backlog until the guest offers buffers again, which it is then
 * asked to tell by a kick. The backlog is state; frames beyond it are dropped, on both sides alike.
 *
 * The header that precedes every frame is the seam of offloads (net-header.ts). Joined segments come
 * as they are from the host; a guest's own leave as they are, with their length, and whoever passes
 * them on makes segments of them. Checksums that the guest leaves out are put in here.
 */
import { assert } from '../../base/assert.ts';
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { DeviceContext } from '../../machine/device.ts';
import { type Chain, gather, scatter } from './chain.ts';
import { VirtioMmio } from './mmio.ts';
import {
  headerBytes,
  joinedBytesMin,
  leftToDevice,
  putChecksum,
  writeHeader,
} from './net-header.ts';
import type { Queue } from './queue.ts';

export const VIRTIO_ID_NET = 1;
export const VIRTIO_NET_F_CSUM = 0;
export const VIRTIO_NET_F_GUEST_CSUM = 1;
export const VIRTIO_NET_F_MAC = 5;
export const VIRTIO_NET_F_GUEST_TSO4 = 7;
export const VIRTIO_NET_F_HOST_TSO4 = 11;
export const VIRTIO_NET_F_MRG_RXBUF = 15;
export const VIRTIO_NET_F_STATUS = 16;
const VIRTIO_NET_S_LINK_UP = 1;

const RECEIVE = 0;
const TRANSMIT = 1;
const queueSize = 256;

const frameBytesMin = 14;
/** The longest frame passed on in either direction: a jumbo frame with a VLAN tag. */
export const frameBytesMax = 9_018;
/** The longest frame of joined segments: the longest IPv4 packet, behind a VLAN tag. */
const joinedBytesMax = 18 + 0xffff;
/** No Linux sends less in a segment (`TCP_MIN_SND_MSS`); one byte in each would be many frames. */
const segmentBytesMin = 48;
/** So that a segment is a frame, too. */
const segmentBytesMax = frameBytesMax + 1 - joinedBytesMin;
/** Bytes of frames that wait for receive buffers at most. */
export const netBacklogBytesMax = 2 ** 20;

export interface NetConfiguration {
  readonly port: number;
  /** Six bytes. */
  readonly mac: Uint8Array;
}

/** A frame input, as `FrameInput` has it. */
interface Arrival {
  readonly frame: Uint8Array;
  readonly segmentBytes: number;
}

export class VirtioNet extends VirtioMmio {
  readonly #port: number;
  readonly #receiveQueue: Queue;
  readonly #transmitQueue: Queue;
  #backlog: Arrival[] = [];
  #backlogBytes = 0;
  /** A frame behind its header, while it is copied into the guest. */
  readonly #packet = new Uint8Array(headerBytes + joinedBytesMax);
  readonly #header = new DataView(this.#packet.buffer, 0, headerBytes);

  constructor(configuration: NetConfiguration, context: DeviceContext) {
    const { mac, port } = configuration;
    assert(mac.length === 6, 'a MAC address has six bytes');
    super(
      {
        deviceId: VIRTIO_ID_NET,
        features: [
          VIRTIO_NET_F_CSUM,
          VIRTIO_NET_F_GUEST_CSUM,
          VIRTIO_NET_F_MAC,
          VIRTIO_NET_F_GUEST_TSO4,
          VIRTIO_NET_F_HOST_TSO4,
          VIRTIO_NET_F_MRG_RXBUF,
          VIRTIO_NET_F_STATUS,
        ],
        queueSizes: [queueSize, queueSize],
        configuration: Uint8Array.of(...mac, VIRTIO_NET_S_LINK_UP, 0),
      },
      context,
    );
    this.#port = port;
    [this.#receiveQueue, this.#transmitQueue] = this.queues as [Queue, Queue];
  }

  /** Whether the driver takes joined segments now. */
  get takesSegments(): boolean {
    if (!this.live || !this.negotiated(VIRTIO_NET_F_GUEST_CSUM)) return false;
    return this.negotiated(VIRTIO_NET_F_GUEST_TSO4);
  }

  /** A frame input. */
  deliver(frame: Uint8Array, segmentBytes = 0): void {
    if (!this.live || !this.#fits(frame, segmentBytes)) return;
    const arrival = { frame, segmentBytes };
    if (this.#backlog.length === 0 && this.#receive(arrival)) {
      this.signal(this.#receiveQueue);
    } else if (this.#backlogBytes + frame.length <= netBacklogBytesMax) {
      this.#backlog.push({ frame: frame.slice(), segmentBytes });
      this.#backlogBytes += frame.length;
      this.#receiveQueue.wantKicks(true);
    }
  }

  protected override kicked(queue: number): void {
    if (queue === TRANSMIT) this.#transmit();
    if (queue === RECEIVE) this.#drainBacklog();
  }

  protected override resetDevice(): void {
    this.#backlog = [];
    this.#backlogBytes = 0;
  }

  protected override saveDevice(writer: ByteWriter): void {
    writer.varint(this.#backlog.length);
    for (const { frame, segmentBytes } of this.#backlog) writer.u16(segmentBytes).bytes(frame);
  }

  protected override restoreDevice(reader: ByteReader): void {
    this.#backlog = reader.list(() => {
      const segmentBytes = reader.u16();
      return { segmentBytes, frame: reader.bytes().slice() };
    });
    this.#backlogBytes = this.#backlog.reduce((sum, { frame }) => sum + frame.length, 0);
  }

  #transmit(): void {
    const { memory } = this.context;
    for (;;) {
      const chain = this.#transmitQueue.pop();
      if (chain === undefined) break;
      const length = chain.readableBytes - headerBytes;
      if (length >= frameBytesMin && length <= joinedBytesMax) {
        const header = gather(memory, chain.readable, 0, headerBytes);
        const frame = gather(memory, chain.readable, headerBytes, length);
        this.#send(header, frame);
      }
      this.#transmitQueue.push(chain.head, 0);
    }
    this.signal(this.#transmitQueue);
  }

  /** What breaks the rules of offloads, or is longer than a frame may be, is dropped. */
  #send(header: Uint8Array, frame: Uint8Array): void {
    const leftOut = leftToDevice(header);
    if (leftOut === undefined) return;
    const { checksum, segmentBytes } = leftOut;
    if (segmentBytes > 0) {
      if (!this.#hostSegments || checksum === undefined) return;
      if (segmentBytes < segmentBytesMin || segmentBytes > segmentBytesMax) return;
    } else {
      if (frame.length > frameBytesMax) return;
      if (checksum !== undefined) {
        if (!this.negotiated(VIRTIO_NET_F_CSUM) || !putChecksum(frame, checksum)) return;
      }
    }
    this.context.emit({ kind: 'frame', port: this.#port, frame, segmentBytes });
  }

  get #hostSegments(): boolean {
    return this.negotiated(VIRTIO_NET_F_CSUM) && this.negotiated(VIRTIO_NET_F_HOST_TSO4);
  }

  /** Receive buffers have come: hand over what waits, and ask for kicks only if some still does. */
  #drainBacklog(): void {
    let delivered = 0;
    while (delivered < this.#backlog.length && this.#receive(this.#backlog[delivered]!)) {
      this.#backlogBytes -= this.#backlog[delivered]!.frame.length;
      delivered++;
    }
    this.#backlog.splice(0, delivered);
    this.#receiveQueue.wantKicks(this.#backlog.length > 0);
    this.signal(this.#receiveQueue);
  }

  /** A driver that has been reset since the segments were joined lets them go. */
  #fits(frame: Uint8Array, segmentBytes: number): boolean {
    if (segmentBytes === 0) return frame.length >= frameBytesMin && frame.length <= frameBytesMax;
    return this.takesSegments && frame.length >= joinedBytesMin && frame.length <= joinedBytesMax;
  }

  /** Writes a frame into receive buffers. @returns false if the guest must first offer more */
  #receive({ frame, segmentBytes }: Arrival): boolean {
    const chains = this.#takeBuffers(headerBytes + frame.length);
    if (chains === undefined) return false;
    const packet = this.#packet.subarray(0, headerBytes + frame.length);
    writeHeader(this.#header, chains.length, frame, segmentBytes);
    packet.set(frame, headerBytes);
    let at = 0;
    for (const chain of chains) {
      const part = packet.subarray(at, at + chain.writableBytes);
      scatter(this.context.memory, chain.writable, 0, part);
      this.#receiveQueue.push(chain.head, part.length);
      at += part.length;
    }
    return true;
  }

  /**
   * As many buffers as a packet needs: one, or several where the driver merges them. A packet too
   * long for the one buffer of a driver that does not, or for a whole ring, is dropped: it takes no
   * buffer.
   */
  #takeBuffers(length: number): Chain[] | undefined {
    const chains: Chain[] = [];
    let room = 0;
    while (room < length) {
      const chain = this.#receiveQueue.pop();
      if (chain === undefined) {
        this.#receiveQueue.unpop(chains.length);
        // Longer than all that the ring can hold: it would wait for ever, and all behind it.
        return chains.length === this.#receiveQueue.size ? [] : undefined;
      }
      chains.push(chain);
      room += chain.writableBytes;
      if (chain.writableBytes < headerBytes) {
        this.fail();
        return undefined;
      }
      if (room < length && !this.negotiated(VIRTIO_NET_F_MRG_RXBUF)) {
        this.#receiveQueue.unpop(1);
        return [];
      }
    }
    return chains;
  }
}
