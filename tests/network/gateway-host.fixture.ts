/**
 * A host for the gateway, for tests: Node's sockets behind `GatewayPorts`, and one UNIX-domain
 * socket with the 4-byte framing on which frames come and go. A fault, if given, stands between the
 * two and loses, doubles or delays frames.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { FrameBatch, FrameDecoder } from '../../src/network/framing.ts';
import { Gateway, type GatewayConfig } from '../../src/network/gateway/gateway.ts';
import type { GatewayPorts } from '../../src/network/gateway/ports.ts';
import { formatIpv4 } from '../../src/network/wire.ts';

export const nowUs = (): number => Math.floor(performance.now() * 1000);

/** Passes a frame on: now, later, twice or not at all. */
export type Fault = (frame: Uint8Array, pass: (frame: Uint8Array) => void) => void;

export class GatewayHost {
  readonly gateway: Gateway;
  fault: Fault | undefined;
  /** Sees every frame of the guest. */
  observe: ((frame: Uint8Array) => void) | undefined;
  readonly #batch = new FrameBatch();
  readonly #sockets = new Map<number, net.Socket>();
  readonly #flows = new Map<number, dgram.Socket>();
  readonly #servers: net.Server[] = [];
  #link: net.Socket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: GatewayConfig) {
    this.gateway = new Gateway(config, this.#ports());
  }

  /** Waits on a UNIX-domain socket for the guest's side. */
  async listen(path: string): Promise<void> {
    const server = net.createServer((link) => {
      this.#link = link;
      const decoder = new FrameDecoder();
      const receive = (frame: Uint8Array): void => {
        this.observe?.(frame);
        this.gateway.receiveFrame(frame, nowUs());
      };
      link.on('data', (chunk) => {
        decoder.push(chunk, (frame) => {
          if (this.fault === undefined) receive(frame);
          else {
            this.fault(frame, (passed) => {
              receive(passed);
              this.#tickSoon();
            });
          }
        });
        this.#tick();
      });
      link.on('error', () => link.destroy());
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
  }

  /** A frame as if the switch had brought it. */
  receive(frame: Uint8Array): void {
    this.gateway.receiveFrame(frame, nowUs());
    this.#tick();
  }

  /** Sends frames to the guest that are not the gateway's own. */
  inject(frames: readonly Uint8Array[]): void {
    for (const frame of frames) this.#batch.add(frame);
    this.#tick();
  }

  /** Publishes a guest's port on the loopback. @returns the host's port */
  async publish(guest: number, guestPort: number): Promise<number> {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      const id = this.gateway.open(guest, guestPort, nowUs());
      if (id === undefined) socket.destroy();
      else this.#attach(id, socket);
      this.#tick();
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as net.AddressInfo).port;
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#sockets.values()) socket.destroy();
    for (const flow of this.#flows.values()) flow.close();
    this.#link?.destroy();
    for (const server of this.#servers) server.close();
  }

  /** Ends the batch under way, writes its frames, and arms the timer. */
  #tick(): void {
    const now = nowUs();
    const next = this.gateway.tick(now);
    if (this.#batch.length > 0) this.#link?.write(this.#batch.take());
    clearTimeout(this.#timer);
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, Math.ceil((next - now) / 1000)));
  }

  #soon = false;
  #tickSoon(): void {
    if (this.#soon) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.#tick();
    });
  }

  #attach(id: number, socket: net.Socket): void {
    this.#sockets.set(id, socket);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      if (!this.gateway.write(id, chunk, nowUs())) socket.pause();
      this.#tick();
    });
    socket.on('end', () => {
      this.gateway.end(id, nowUs());
      this.#tick();
    });
    socket.on('error', () => {
      this.gateway.reset(id, nowUs());
      this.#tick();
    });
    socket.resume();
  }

  #ports(): GatewayPorts {
    return {
      frame: (frame) => {
        if (this.fault === undefined) this.#batch.add(frame);
        else {
          this.fault(frame, (passed) => {
            this.#batch.add(passed);
            this.#tickSoon();
          });
        }
      },
      connect: (id, address, port) => {
        const socket = net.connect({ host: formatIpv4(address), port, allowHalfOpen: true });
        this.#sockets.set(id, socket);
        const failed = (): void => {
          this.gateway.refused(id, 'refused', nowUs());
          this.#tick();
        };
        socket.once('error', failed);
        socket.once('connect', () => {
          socket.off('error', failed);
          this.gateway.connected(id, nowUs());
          this.#attach(id, socket);
          this.#tick();
        });
      },
      data: (id, bytes) => {
        this.#sockets.get(id)?.write(bytes, () => {
          this.gateway.consumed(id, bytes.length, nowUs());
          this.#tickSoon();
        });
      },
      end: (id) => this.#sockets.get(id)?.end(),
      writable: (id) => this.#sockets.get(id)?.resume(),
      closed: (id, why) => {
        const socket = this.#sockets.get(id);
        this.#sockets.delete(id);
        if (why === 'done') socket?.end();
        else socket?.resetAndDestroy();
      },
      datagram: (id, address, port, bytes) => {
        let socket = this.#flows.get(id);
        if (socket === undefined) {
          socket = dgram.createSocket('udp4');
          this.#flows.set(id, socket);
          socket.on('message', (message) => {
            this.gateway.datagram(id, message, nowUs());
            this.#tick();
          });
          socket.on('error', () => {
            this.gateway.flowFailed(id);
            this.#tick();
          });
          socket.connect(port, formatIpv4(address));
          socket.once('connect', () => socket!.send(bytes));
        } else socket.send(bytes);
      },
      flowClosed: (id) => {
        this.#flows.get(id)?.close();
        this.#flows.delete(id);
      },
      random32: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
    };
  }
}
