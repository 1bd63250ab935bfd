/** Wires between VM processes that tests may cut, and peers that do not keep to the rules. */
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTls, type TLSSocket, connect as tlsConnect } from 'node:tls';
import type { Credentials } from '../../src/api/credentials.ts';

const address = '127.0.0.1';

function pem({ caFile, certificateFile, keyFile }: Credentials) {
  const [ca, cert, key] = [caFile, certificateFile, keyFile].map((file) => readFileSync(file));
  return { ca: ca!, cert: cert!, key: key!, minVersion: 'TLSv1.3' } as const;
}

const listening = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, address, () => resolve((server.address() as AddressInfo).port));
  });

/** A cable: bytes as they are. */
export class Cable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  #whole = true;
  /** Connections that were made through it. */
  made = 0;

  private constructor(server: Server, port: number, sockets: Set<Socket>) {
    this.#server = server;
    this.port = port;
    this.#sockets = sockets;
  }

  static async to(target: number): Promise<Cable> {
    const sockets = new Set<Socket>();
    const server = createServer((near) => {
      if (!cable.#whole) return near.destroy();
      cable.made++;
      const far = connect(target, address);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        from.setNoDelay(true).pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
        sockets.add(from);
      }
      return undefined;
    });
    const cable = new Cable(server, await listening(server), sockets);
    return cable;
  }

  cut(): void {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  mend(): void {
    this.#whole = true;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

/** Passes on what the primary says, with the primary's certificate, and may say something itself. */
export class Impostor {
  readonly port: number;
  readonly #server: ReturnType<typeof createTls>;
  #toShadow: TLSSocket | undefined;

  private constructor(server: ReturnType<typeof createTls>, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async between(primary: Credentials, shadow: Credentials, target: number) {
    const server = createTls({ ...pem(primary), requestCert: true }, (near) => {
      impostor.#toShadow = near;
      const checkServerIdentity = () => undefined;
      const far = tlsConnect({ ...pem(shadow), host: address, port: target, checkServerIdentity });
      near.pipe(far);
      far.pipe(near);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        one.on('error', () => other.destroy());
        one.on('close', () => other.destroy());
      }
    });
    const impostor = new Impostor(server, await listening(server));
    return impostor;
  }

  /** A whole message, behind its length. */
  say(message: Uint8Array): void {
    this.#toShadow!.write(framed(message));
  }

  close(): void {
    this.#toShadow?.destroy();
    this.#server.close();
  }
}

export function framed(message: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([length, message]);
}

/** Connects, says these bytes, and waits until the other side ends it. @returns what it heard */
export function say(credentials: Credentials, port: number, bytes: Uint8Array): Promise<Buffer> {
  const heard: Buffer[] = [];
  const checkServerIdentity = () => undefined;
  const { ca, ...own } = pem(credentials);
  // A stranger believes anybody.
  const options = { ...own, ca, rejectUnauthorized: false, checkServerIdentity };
  const socket = tlsConnect({ ...options, host: address, port });
  socket.on('secureConnect', () => socket.write(bytes));
  socket.on('data', (chunk: Buffer) => heard.push(chunk));
  socket.on('error', () => {});
  return new Promise((resolve) => socket.once('close', () => resolve(Buffer.concat(heard))));
}
