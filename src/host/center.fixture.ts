/**
 * For tests: what daemons need of a center, on loopback over mutual TLS: the WebSocket of agents
 * and the bytes of images. It says what the test says, and keeps what it hears.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import type { CenterMessage, DaemonMessage, Peer } from '../api/agent.ts';
import { apiPrefix, centerName } from '../api/wire.ts';
import type { TestAuthority } from './certificates.fixture.ts';

type Heard<K extends DaemonMessage['kind']> = Extract<DaemonMessage, { kind: K }>;

export class TestCenter {
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #daemons = new Map<string, WebSocket>();
  readonly #heard = new Map<string, DaemonMessage[]>();
  /** Path below `/images/` to bytes. */
  readonly files = new Map<string, Uint8Array>();
  readonly fetched: string[] = [];
  /** What it speaks with daemons; undefined: what they speak. */
  protocol: number | undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on('upgrade', (request, socket, head) => {
      const id = String((request.socket as TLSSocket).getPeerCertificate().subject.CN);
      this.#sockets.handleUpgrade(request, socket, head, (connection) => {
        this.#daemons.set(id, connection);
        connection.on('message', (data) => this.#hear(id, JSON.parse(String(data))));
        connection.on('error', () => {});
      });
    });
    server.on('request', (request, reply) => {
      const path = String(request.url).replace(`${apiPrefix}/images/`, '');
      const bytes = this.files.get(path);
      this.fetched.push(path);
      reply.statusCode = bytes === undefined ? 404 : 200;
      reply.end(bytes);
    });
  }

  static async start(authority: TestAuthority): Promise<TestCenter> {
    const { caFile, certificateFile, keyFile } = await authority.issue(centerName);
    const center = new TestCenter(
      createServer({
        ca: readFileSync(caFile),
        cert: readFileSync(certificateFile),
        key: readFileSync(keyFile),
        minVersion: 'TLSv1.3',
        requestCert: true,
        rejectUnauthorized: true,
      }),
    );
    await new Promise<void>((resolve) => center.#server.listen(0, '127.0.0.1', resolve));
    return center;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  say(id: string, message: CenterMessage): void {
    this.#daemons.get(id)!.send(JSON.stringify(message));
  }

  /** Tells every daemon of all, and of these others. */
  sayPeers(others: readonly Peer[] = []): void {
    const peers = [...this.#heard.keys()].flatMap((id): Peer[] => {
      const hello = this.all(id, 'hello').at(-1)!;
      const { daemonKind: kind, trunkAddress, trunkPort } = hello;
      return [{ id, name: id, kind, trunkAddress, trunkPort }];
    });
    for (const id of this.#daemons.keys()) {
      this.say(id, { kind: 'peers', peers: [...peers, ...others] });
    }
  }

  /** All of a kind that a daemon has said. */
  all<K extends DaemonMessage['kind']>(id: string, kind: K): Heard<K>[] {
    const heard = this.#heard.get(id) ?? [];
    return heard.filter((message): message is Heard<K> => message.kind === kind);
  }

  /** Breaks the connection of a daemon, which will come back. */
  drop(id: string): void {
    this.#daemons.get(id)!.terminate();
  }

  close(): void {
    for (const socket of this.#daemons.values()) socket.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #hear(id: string, message: DaemonMessage): void {
    const heard = this.#heard.get(id) ?? [];
    heard.push(message);
    this.#heard.set(id, heard);
    if (message.kind === 'hello') {
      this.say(id, { kind: 'welcome', protocol: this.protocol ?? message.protocol, daemonId: id });
    }
  }
}
