/**
 * A VM's port on the switch of its host: a UNIX-domain socket with frames behind their length. It
 * is opened early, but frames flow only once the copy is live and has said so in its own
 * generation (protocol.ts `SwitchHello`).
 */
import { connect, type Socket } from 'node:net';
import type { VmSpec } from '../../api/agent.ts';
import { AddressLearner } from '../../network/announcements.ts';
import { FrameBatch, FrameDecoder } from '../../network/framing.ts';
import { ReceiveOffload, type TakeFrame } from '../../network/receive-offload.ts';
import { sendSegments } from '../../network/send-offload.ts';
import { formatIpv4 } from '../../network/wire.ts';
import { type SwitchHello, switchControlBit } from './protocol.ts';

export class SwitchConnection {
  /** None: its card has no cable. */
  readonly #socket: Socket | undefined;
  readonly #batch = new FrameBatch();
  readonly #learner = new AddressLearner();
  readonly #vmNumber: number;
  readonly #mac: string;
  readonly #vlan: number | undefined;
  #writeQueued = false;
  /** The last hello's generation, and how much was known when it was said. */
  #live: { readonly epoch: number; readonly generation: number } | undefined;
  #discoveriesTold = 0;

  /**
   * @param onFrame segments of TCP are joined while `joins` says so
   * @param ended the switch is gone, and with it the host's daemon
   */
  constructor(
    path: string,
    { number, mac, vlan, isolated }: Pick<VmSpec, 'number' | 'mac' | 'vlan' | 'isolated'>,
    onFrame: TakeFrame,
    joins: () => boolean,
    ended: () => void,
  ) {
    this.#vmNumber = number;
    this.#mac = mac;
    this.#vlan = vlan;
    if (isolated) return;
    const socket = connect(path);
    this.#socket = socket;
    const decoder = new FrameDecoder();
    const offload = new ReceiveOffload(onFrame);
    socket.on('data', (chunk: Buffer) => {
      const joining = joins();
      decoder.push(chunk, (message) => {
        // The chunk is ours, and what is not in it the decoder uses again.
        const frame = message.buffer === chunk.buffer ? message : message.slice();
        if (joining) offload.push(frame);
        else onFrame(frame, 0);
      });
      offload.flush();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', ended);
  }

  /** A frame that a shadow computed: it teaches the guest's addresses, and goes nowhere. */
  suppressed(frame: Uint8Array): void {
    this.#learner.observe(frame);
  }

  /** From now on this copy speaks for the VM. */
  announce(epoch: number, generation: number): void {
    this.#live = { epoch, generation };
    this.#discoveriesTold = this.#learner.discoveries;
    const addresses = this.#learner.addresses();
    const hello: SwitchHello = {
      vmNumber: this.#vmNumber,
      mac: this.#mac,
      epoch,
      generation,
      ...(this.#vlan !== undefined && { vlan: this.#vlan }),
      ipv4: addresses.flatMap(({ ipv4 }) => ipv4.map(formatIpv4)),
      ipv6: addresses.flatMap(({ ipv6 }) =>
        ipv6.map((address) => Buffer.from(address).toString('hex')),
      ),
    };
    this.#write();
    const body = Buffer.from(JSON.stringify(hello));
    const message = Buffer.alloc(4 + body.length);
    message.writeUInt32BE((switchControlBit | body.length) >>> 0, 0);
    message.set(body, 4);
    this.#socket?.write(message);
  }

  /**
   * Frames of one turn of the loop leave in one write.
   *
   * @param segmentBytes as in `FrameOutput`
   */
  send(frame: Uint8Array, segmentBytes: number): void {
    this.#learner.observe(frame);
    if (this.#socket === undefined) return;
    if (segmentBytes === 0) this.#batch.add(frame);
    else sendSegments(frame, segmentBytes, (segment) => this.#batch.add(segment));
    if (this.#writeQueued) return;
    this.#writeQueued = true;
    queueMicrotask(() => this.#write());
  }

  close(): void {
    this.#socket?.destroy();
  }

  /** Also tells what the guest has let slip of its addresses: others announce them one day. */
  #write(): void {
    this.#writeQueued = false;
    if (this.#live !== undefined && this.#learner.discoveries !== this.#discoveriesTold) {
      this.announce(this.#live.epoch, this.#live.generation);
      return;
    }
    const socket = this.#socket;
    if (this.#batch.length > 0 && !socket?.destroyed) socket?.write(this.#batch.take());
  }
}
