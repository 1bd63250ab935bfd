/**
 * The UNIX-domain sockets at which local ports plug into the switch. Frames stand behind a 4-byte
 * big-endian length, as QEMU's `stream` netdev and passt speak it.
 *
 * - `switch.sock` is for VM processes: a connection is no port before its first `SwitchHello`, and
 *   each further one moves it to a higher generation.
 * - `qemu.sock` is for infrastructure (vm 0): a port from the first moment on.
 *
 * Invariant: whatever is malformed ends that connection and nothing else.
 */
import { chmod, rm } from 'node:fs/promises';
import net from 'node:net';
import { MalformedBytes } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { FRAME_BYTES_MAX } from '../network/frames/ethernet.ts';
import type { Vlan } from '../network/frames/vlan.ts';
import { FrameBatch, FrameDecoder } from '../network/framing.ts';
import type { Port } from '../network/switch.ts';
import type { Ethernet } from './ethernet.ts';
import type { Log } from './log.ts';
import { decodeSwitchHello, HELLO_BYTES_MAX } from './switch-hello.ts';
import { switchControlBit } from './vm/protocol.ts';

/** sockaddr_un's path, less the zero at its end. */
const SOCKET_PATH_BYTES_MAX = 107;

export type SocketKind = 'vm' | 'infrastructure';

export class SwitchSocket {
  readonly #ethernet: Ethernet;
  readonly #kind: SocketKind;
  readonly #log: Log;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  constructor(ethernet: Ethernet, kind: SocketKind, log: Log) {
    this.#ethernet = ethernet;
    this.#kind = kind;
    this.#log = log;
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  /** Takes the place of a socket that a dead daemon left behind, never that of a living one. */
  async listen(path: string): Promise<void> {
    if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
      throw new UmbraError(
        'socket-path-long',
        `the path ${path} is longer than a UNIX socket's may be (${SOCKET_PATH_BYTES_MAX} bytes)`,
        'Choose a shorter --data folder.',
      );
    }
    if (await answers(path)) {
      throw new UmbraError(
        'already-running',
        `another daemon answers at ${path}`,
        'Give each daemon a --data folder of its own, or stop the other one first.',
      );
    }
    await rm(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(path, resolve);
    });
    await chmod(path, 0o600);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: net.Socket): void {
    const connection = new PortConnection(this.#ethernet, socket, this.#kind, this.#log);
    this.#sockets.add(socket);
    socket.on('data', (chunk) => {
      try {
        connection.receive(chunk);
      } catch (error) {
        if (!(error instanceof MalformedBytes)) throw error;
        this.#log.warn({ vm: connection.vm }, `switch port closed: ${error.message}`);
        socket.destroy();
      }
    });
    socket.on('error', (error) => this.#log.info({ vm: connection.vm }, error.message));
    socket.on('close', () => {
      this.#sockets.delete(socket);
      connection.close();
    });
  }
}

/** One connection, and its port once there is one. */
class PortConnection {
  readonly #ethernet: Ethernet;
  readonly #log: Log;
  readonly #batch = new FrameBatch();
  readonly #decoder: FrameDecoder;
  #port: Port | undefined;
  #vlan: Vlan = 0;
  /** The generation of the last hello. */
  #live: number | undefined;

  constructor(ethernet: Ethernet, socket: net.Socket, kind: SocketKind, log: Log) {
    this.#ethernet = ethernet;
    this.#log = log;
    ethernet.connect(socket, this.#batch);
    const control = { bit: switchControlBit, bytesMax: HELLO_BYTES_MAX };
    this.#decoder = new FrameDecoder(FRAME_BYTES_MAX, kind === 'vm' ? control : undefined);
    if (kind === 'infrastructure') this.#addPort(0, 0, 0);
  }

  get vm(): number | undefined {
    return this.#port?.vm;
  }

  receive(chunk: Uint8Array): void {
    this.#ethernet.turn((now) => {
      this.#decoder.push(chunk, (message, isControl) => {
        if (isControl) this.#hello(message, now);
        else if (this.#port === undefined) throw new MalformedBytes('a frame before hello');
        else this.#ethernet.switch.receive(this.#port, message, now);
      });
    });
  }

  close(): void {
    if (this.#port !== undefined) this.#ethernet.leave(this.#port);
  }

  #hello(message: Uint8Array, now: number): void {
    const { vm, generation, vlan, addresses } = decodeSwitchHello(message);
    const port = this.#port ?? this.#addPort(vm, generation, vlan);
    if (port.vm !== vm) throw new MalformedBytes(`VM ${vm} on the port of VM ${port.vm}`);
    if (this.#vlan !== vlan) throw new MalformedBytes(`VLAN ${vlan} on a port of ${this.#vlan}`);
    if (generation < port.generation) throw new MalformedBytes('a hello of an older generation');
    const isNews = this.#live !== generation;
    this.#live = generation;
    const accepted = this.#ethernet.goLive(port, generation, [addresses], now);
    if (!isNews) return;
    this.#log.info(
      { number: vm, generation },
      accepted ? 'a VM is live here' : 'stale, kept silent',
    );
  }

  #addPort(vm: number, generation: number, vlan: Vlan): Port {
    const sink = { deliver: (frame: Uint8Array): void => this.#batch.add(frame) };
    this.#vlan = vlan;
    this.#port = this.#ethernet.switch.addPort(vm, generation, sink, vlan);
    return this.#port;
  }
}

/** Whether somebody listens there. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
