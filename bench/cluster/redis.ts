/** Redis in a guest, loaded from outside: by Debian's redis-benchmark, and command by command. */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

export interface Load {
  readonly test: 'incr' | 'set' | 'get';
  readonly requests: number;
  readonly clients: number;
  readonly pipeline: number;
  /** Of a value. */
  readonly bytes?: number;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly medianMs: number;
}

export async function redisBenchmark(port: number, load: Load): Promise<LoadResult> {
  const args = [
    ...['-p', `${port}`, '-t', load.test, '-n', `${load.requests}`, '-c', `${load.clients}`],
    ...['-P', `${load.pipeline}`, '--csv', ...(load.bytes ? ['-d', `${load.bytes}`] : [])],
  ];
  const running = promisify(execFile)('redis-benchmark', args, { timeout: 300_000 });
  children.add(running.child);
  try {
    return parseBenchmark((await running).stdout);
  } finally {
    children.delete(running.child);
  }
}

/** The line of figures below the line of their names, as `--csv` prints them. */
export function parseBenchmark(text: string): LoadResult {
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('"'))
    .map((line) => line.split(',').map((cell) => cell.replaceAll('"', '')));
  const [names = [], figures = []] = rows.slice(-2);
  const figure = (name: string): number => {
    const value = Number(figures[names.indexOf(name)]);
    if (!(value > 0)) throw new Error(`redis-benchmark has not said ${name}:\n${text}`);
    return value;
  };
  return { perSecond: figure('rps'), medianMs: figure('p50_latency_ms') };
}

/** One command over a connection of its own. @returns the reply's first line without its sign */
export function redisCommand(port: number, ...words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(command(...words)));
    let text = '';
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('Redis closed the connection')));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const [sign, lines] = [text[0], text.slice(1).split('\r\n')];
      // The length and the bytes of a string, or one line.
      if (lines.length < (sign === '$' ? 3 : 2)) return;
      socket.destroy();
      if (sign === '-') reject(new Error(`Redis refused ${words[0]}: ${lines[0]}`));
      else resolve(sign === '$' ? lines[1]! : lines[0]!);
    });
  });
}

/** As Redis wants it (RESP, arrays of bulk strings). */
function command(...words: readonly string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join('')}`;
}

const hashing = "local h = '' for i = 1, ARGV[1] do h = redis.sha1hex(h .. i) end return h";

/**
 * Work that needs the CPU alone, at once and again with the same result: Redis hashes hashes.
 * @returns seconds from outside, of which the way there and back is a thousandth
 */
export async function compute(port: number, hashes: number) {
  const start = performance.now();
  const result = await redisCommand(port, 'EVAL', hashing, '0', `${hashes}`);
  return { seconds: (performance.now() - start) / 1000, result };
}

export interface Pace {
  readonly test: 'set' | 'get';
  /** Of a value. */
  readonly bytes: number;
  readonly perSecond: number;
  readonly seconds: number;
}

/** Requests under way beyond which the client lets one be due. */
const underWayMax = 8;
/** A timer for each request would be late; several that are due are sent together. */
const paceMs = 2;

/**
 * Values set, or asked for, so many a second over one connection, whoever is served.
 * @returns how many were answered
 */
export async function atPace(port: number, pace: Pace): Promise<number> {
  const { test, bytes, perSecond, seconds } = pace;
  const set = ['SET', 'paced', 'x'.repeat(bytes)] as const;
  const [request, reply] =
    test === 'set'
      ? [command(...set), '+OK\r\n'.length]
      : [command('GET', 'paced'), `$${bytes}\r\n`.length + bytes + 2];
  await redisCommand(port, ...set);
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  let received = 0;
  let sent = 0;
  let broken: Error | undefined;
  try {
    await once(socket, 'connect');
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    socket.on('error', (error) => {
      broken = error;
    });
    socket.on('close', () => {
      broken ??= new Error('Redis closed the connection');
    });
    for (const start = performance.now(); ; ) {
      if (broken !== undefined) throw broken;
      const elapsed = (performance.now() - start) / 1000;
      if (elapsed >= seconds) return received / reply;
      while (sent < elapsed * perSecond && sent - received / reply < underWayMax) {
        socket.write(request);
        sent++;
      }
      await sleep(paceMs);
    }
  } finally {
    socket.destroy();
  }
}
