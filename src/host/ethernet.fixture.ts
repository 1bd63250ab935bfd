/**
 * For tests: the network half of a daemon on loopback, and what a VM process is to it, a
 * connection to the switch's socket that says hello and sends and receives frames.
 */
import net from 'node:net';
import { join } from 'node:path';
import type { Peer } from '../api/agent.ts';
import type { DaemonCredentials } from '../api/credentials.ts';
import { FrameBatch, FrameDecoder } from '../network/framing.ts';
import type { TrunkAnnouncement } from '../network/trunk.ts';
import { Ethernet } from './ethernet.ts';
import type { Log } from './log.ts';
import { encodeSwitchHello } from './switch-hello.ts';
import { SwitchSocket } from './switch-socket.ts';
import { Trunks } from './trunks.ts';
import { Trust } from './trust.ts';
import type { SwitchHello } from './vm/protocol.ts';

/** Keeps what was logged, for the test to look at. */
export class KeptLog {
  readonly lines: string[] = [];
  readonly log: Log;

  constructor() {
    const keep = (...words: unknown[]): void => {
      this.lines.push(words.map((word) => JSON.stringify(word)).join(' '));
    };
    this.log = { info: keep, warn: keep, error: keep } as unknown as Log;
  }

  has(text: string): boolean {
    return this.lines.some((line) => line.includes(text));
  }
}

export class NetworkHalf {
  readonly id: string;
  readonly ethernet = new Ethernet();
  readonly kept = new KeptLog();
  readonly trust: Trust;
  readonly trunks: Trunks;
  readonly socketPath: string;
  readonly changes: string[] = [];
  readonly announced: TrunkAnnouncement[] = [];
  readonly #socket: SwitchSocket;
  #port = 0;

  constructor(credentials: DaemonCredentials, folder: string) {
    this.id = credentials.daemonId;
    this.trust = new Trust(credentials);
    this.socketPath = join(folder, `${this.id}.sock`);
    this.trunks = new Trunks({
      id: this.id,
      trust: this.trust,
      ethernet: this.ethernet,
      log: this.kept.log,
      changed: (peer, up) => this.changes.push(`${peer.id} ${up ? 'up' : 'down'}`),
      announced: (announcement) => this.announced.push(announcement),
    });
    this.#socket = new SwitchSocket(this.ethernet, 'vm', this.kept.log);
  }

  async start(): Promise<void> {
    this.#port = await this.trunks.listen('127.0.0.1');
    await this.#socket.listen(this.socketPath);
  }

  get peer(): Peer {
    return {
      id: this.id,
      name: this.id,
      kind: 'host',
      trunkAddress: '127.0.0.1',
      trunkPort: this.#port,
    };
  }

  async close(): Promise<void> {
    await this.trunks.close();
    await this.#socket.close();
    this.ethernet.close();
  }
}

export class VmEnd {
  readonly frames: Uint8Array[] = [];
  onFrame: (frame: Uint8Array) => void = (frame) => this.frames.push(new Uint8Array(frame));
  closed = false;
  readonly socket: net.Socket;
  readonly #decoder = new FrameDecoder();
  readonly #batch = new FrameBatch();

  constructor(path: string) {
    this.socket = net.connect(path);
    this.socket.on('data', (chunk) => this.#decoder.push(chunk, (frame) => this.onFrame(frame)));
    this.socket.on('error', () => this.socket.destroy());
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  hello(hello: Partial<SwitchHello> & Pick<SwitchHello, 'vmNumber' | 'mac'>): void {
    const whole = { epoch: 1, generation: 1, ipv4: [], ipv6: [], ...hello };
    this.socket.write(encodeSwitchHello(whole));
  }

  send(frame: Uint8Array): void {
    this.#batch.add(frame);
    this.socket.write(this.#batch.take());
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Waits until the event loop has made it true. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** An Ethernet frame between two MACs of experimental type, with a number as its payload. */
export function testFrame(destination: string, source: string, number: number): Uint8Array {
  const frame = new Uint8Array(60);
  frame.set(Buffer.from((destination + source).replaceAll(':', ''), 'hex'));
  frame.set([0x88, 0xb5], 12);
  new DataView(frame.buffer).setUint32(14, number);
  return frame;
}

export const numberOf = (frame: Uint8Array): number =>
  new DataView(frame.buffer, frame.byteOffset).getUint32(14);
