/** Redis in a guest, loaded from outside: by Debian's redis-benchmark, and command by command. */
import { type ChildProcess, execFile } from 'node:child_process';
import { connect } from 'node:net';
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
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`*${words.length}\r\n${parts.join('')}`),
    );
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
