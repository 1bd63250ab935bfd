/**
 * A TCP port at which one debugger at a time finds a target. On the loopback address unless told
 * otherwise: whoever reaches it reads all of the guest's memory.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { UmbraError } from '../../base/errors.ts';
import { GdbStub } from '../../debug/gdb/stub.ts';
import type { DebugTarget } from '../../debug/gdb/target.ts';

export interface GdbServerOptions {
  readonly target: DebugTarget;
  readonly port: number;
  readonly host?: string;
  readonly note: (text: string) => void;
}

/** What a debugger may leave unread before it is taken for gone. */
const unreadBytesMax = 16 * 1024 * 1024;

export class GdbServer {
  readonly #options: GdbServerOptions;
  readonly #server: Server;
  #socket: Socket | undefined;

  private constructor(options: GdbServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#connected(socket));
  }

  static async listen(options: GdbServerOptions): Promise<GdbServer> {
    const gdb = new GdbServer(options);
    const { host = '127.0.0.1', port } = options;
    await new Promise<void>((resolve, reject) => {
      gdb.#server.once('error', (error: NodeJS.ErrnoException) =>
        reject(
          new UmbraError(
            'port-taken',
            `A debugger's port ${port} cannot be opened (${error.code}).`,
            'Choose another port, or 0 for any.',
            { cause: error },
          ),
        ),
      );
      gdb.#server.listen(port, host, resolve);
    });
    return gdb;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** What has been answered still arrives. */
  async close(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#socket?.destroySoon();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #connected(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#socket !== undefined) {
      this.#options.note('a second debugger was turned away: one is connected already');
      socket.destroy();
      return;
    }
    this.#socket = socket;
    socket.setNoDelay(true);
    const stub = new GdbStub(
      this.#options.target,
      (bytes) => {
        socket.write(bytes);
        if (socket.writableLength > unreadBytesMax) socket.destroy();
      },
      () => socket.end(),
    );
    socket.on('data', (bytes) => stub.receive(bytes));
    socket.on('close', () => {
      this.#socket = undefined;
      this.#options.target.interrupt();
      this.#options.target.detached();
    });
  }
}
