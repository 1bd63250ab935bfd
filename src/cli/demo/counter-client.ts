/**
 * The demo's witness: counts with Redis's INCR over one TCP connection, one request at a time and
 * without pause, and notes when each reply came.
 *
 * Each reply must be the last one plus one. A smaller number means that acknowledged work was lost,
 * a larger one that a request was carried out twice. The connection is never made again: if it
 * breaks, that is a finding.
 */
import { connect, type Socket } from 'node:net';

const request = Buffer.from('*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n');

export class CounterClient {
  readonly #socket: Socket;
  readonly #pauseMs: number;
  #sentAt = 0;
  /** Milliseconds (performance.now) of every reply. */
  readonly #repliedAt: number[] = [];
  #value = 0;
  #pending = '';
  #stopping = false;
  readonly #stopped = Promise.withResolvers<void>();
  lost = 0;
  repeated = 0;
  connectionsReset = 0;
  problem: string | undefined;

  private constructor(socket: Socket, pauseMs: number) {
    this.#socket = socket;
    this.#pauseMs = pauseMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk.toString('latin1')));
    socket.on('error', (error) => this.#broken(error.message));
    socket.on('close', () => this.#broken('the connection was closed'));
    this.#ask();
  }

  /** @param pauseMs between a reply and the next request, for guests that are slow */
  static connect(port: number, address = '127.0.0.1', pauseMs = 0): Promise<CounterClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, address, () => {
        socket.removeListener('error', reject);
        resolve(new CounterClient(socket, pauseMs));
      });
      socket.once('error', reject);
    });
  }

  get replies(): number {
    return this.#repliedAt.length;
  }

  get value(): number {
    return this.#value;
  }

  /** When the last reply came; a client that hangs shows by it. */
  get lastReplyAt(): number {
    return this.#repliedAt.at(-1) ?? this.#sentAt;
  }

  repliesSince(from: number): number {
    let count = 0;
    for (let at = this.#repliedAt.length - 1; at >= 0 && this.#repliedAt[at]! >= from; at--) {
      count += 1;
    }
    return count;
  }

  /** The longest interval between replies that touches the time from `from` to `to`. */
  longestGapMs(from: number, to: number): number {
    let longest = 0;
    for (let at = 1; at < this.#repliedAt.length; at++) {
      const [before, after] = [this.#repliedAt[at - 1]!, this.#repliedAt[at]!];
      if (after >= from && before <= to) longest = Math.max(longest, after - before);
    }
    // Whoever still waits has waited at least until now.
    if (this.lastReplyAt <= to) longest = Math.max(longest, performance.now() - this.lastReplyAt);
    return longest;
  }

  /** How many intervals between replies since `from` were longer than this. */
  gapsLongerThan(ms: number, from: number): number {
    let count = 0;
    for (let at = 1; at < this.#repliedAt.length; at++) {
      const [before, after] = [this.#repliedAt[at - 1]!, this.#repliedAt[at]!];
      if (after >= from && after - before > ms) count += 1;
    }
    return count;
  }

  /** Ends behind the reply that is awaited. */
  stop(): Promise<void> {
    this.#stopping = true;
    return this.#stopped.promise;
  }

  #askNext(): void {
    if (this.#pauseMs === 0) this.#ask();
    else setTimeout(() => this.#ask(), this.#pauseMs);
  }

  #ask(): void {
    this.#sentAt = performance.now();
    this.#socket.write(request);
  }

  #receive(text: string): void {
    this.#pending += text;
    const end = this.#pending.indexOf('\r\n');
    if (end < 0) return;
    const line = this.#pending.slice(0, end);
    this.#pending = this.#pending.slice(end + 2);
    if (!line.startsWith(':')) return this.#broken(`Redis answered ${line}`);
    const value = Number(line.slice(1));
    this.#repliedAt.push(performance.now());
    if (value <= this.#value) this.lost += this.#value + 1 - value;
    else if (value > this.#value + 1) this.repeated += value - this.#value - 1;
    this.#value = value;
    if (!this.#stopping) return this.#askNext();
    this.#socket.removeAllListeners('close');
    this.#socket.end();
    this.#stopped.resolve();
  }

  #broken(problem: string): void {
    if (this.problem !== undefined) return;
    this.problem = problem;
    this.connectionsReset += 1;
    this.#stopped.resolve();
  }
}
