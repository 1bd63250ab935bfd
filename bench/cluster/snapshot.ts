/**
 * `snapshot`: starting the shadow of a VM with 2 GiB of RAM that is at work.
 *
 * Redis holds random values and is given more all the time; each round turns protection on and off
 * again. `pauseMs`: how long the primary stood still for the checkpoint, as it reports it.
 * `transferSeconds`: from that moment until the VM was protected: the whole checkpoint sent and
 * restored, the log caught up. `gapMs`: the longest that a client waited meanwhile.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';
import type { Bench, BenchOptions } from '../bench.ts';
import { type Distribution, distribution } from '../statistics.ts';
import { memoryOf } from './processes.ts';
import { onStage, type RedisVm } from './stage.ts';

const roundsDefault = 3;
const ramBytes = 2 * 2 ** 30;
const valueBytes = 2 ** 20;
const values = 256;

interface SnapshotDocument {
  readonly ramBytes: number;
  readonly pauseMs: Distribution;
  readonly transferSeconds: Distribution;
  /** Of that RAM, what the guest has touched when the last round begins. */
  readonly touchedBytes: number;
  readonly gapMs: Distribution;
}

interface Round {
  readonly pauseMs: number;
  readonly transferSeconds: number;
  readonly gapMs: number;
}

async function measure({ rounds = roundsDefault, progress }: BenchOptions) {
  return onStage({ hosts: 2, images: ['redis'] }, async (stage): Promise<SnapshotDocument> => {
    const vm = await stage.startRedis({ memoryBytes: ramBytes });
    progress('Redis answers');
    const writer = await Writer.connect(vm.port);
    await writer.fill(values);
    progress(`Redis holds ${values} values of 1 MiB`);
    writer.go();
    const client = await CounterClient.connect(vm.port);
    const all: Round[] = [];
    let touchedBytes = 0;
    for (let round = 1; round <= rounds; round++) {
      touchedBytes = memoryOf(await vm.primaryPid(), ramBytes).touchedBytes;
      const one = await oneRound(vm, client);
      all.push(one);
      const pause = `pause ${one.pauseMs.toFixed(1)} ms`;
      progress(`round ${round} of ${rounds}: ${pause}, ${one.transferSeconds.toFixed(1)} s`);
    }
    await writer.stop();
    await client.stop();
    return {
      ramBytes,
      pauseMs: distribution(all.map(({ pauseMs }) => pauseMs)),
      transferSeconds: distribution(all.map(({ transferSeconds }) => transferSeconds)),
      touchedBytes,
      gapMs: distribution(all.map(({ gapMs }) => gapMs)),
    };
  });
}

async function oneRound(vm: RedisVm, client: CounterClient): Promise<Round> {
  const before = (await vm.events(0)).at(-1)!.sequence;
  const from = performance.now();
  await vm.protect();
  const gapMs = client.longestGapMs(from, performance.now());
  const events = await vm.events(before);
  const started = events.find(({ data }) => reportOf(data)?.kind === 'shadow-started');
  const enlisted = events.find(({ kind }) => kind === 'ft-shadow-started');
  if (client.problem !== undefined) throw new Error(`the client was cut off: ${client.problem}`);
  if (started === undefined || enlisted === undefined) {
    throw new Error(`no shadow was started: ${events.map(({ text }) => text).join('; ')}`);
  }
  await vm.unprotect();
  return {
    pauseMs: reportOf(started.data)!.pauseMicros / 1000,
    transferSeconds: (Date.parse(enlisted.time) - Date.parse(started.time)) / 1000,
    gapMs,
  };
}

/** What the primary says of it (src/lockstep/status.ts `Report`). */
function reportOf(data: Readonly<Record<string, unknown>>) {
  return data['report'] as { readonly kind: string; readonly pauseMicros: number } | undefined;
}

/** Sets keys to values that do not compress, one at a time. */
class Writer {
  readonly #socket: ReturnType<typeof connect>;
  readonly #value = randomBytes(valueBytes);
  #stopping = false;
  #running: Promise<void> | undefined;

  private constructor(socket: ReturnType<typeof connect>) {
    this.#socket = socket;
  }

  static async connect(port: number): Promise<Writer> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Writer(socket);
  }

  async fill(count: number): Promise<void> {
    for (let key = 0; key < count; key++) await this.#set(key);
  }

  /** Overwrites them in turn until it is stopped, at most ten in a second. */
  go(): void {
    this.#running = (async () => {
      for (let key = 0; !this.#stopping; key = (key + 1) % values) {
        await this.#set(key);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    this.#socket.destroy();
  }

  async #set(key: number): Promise<void> {
    this.#value.writeUInt32BE(key, 0);
    for (let at = 4; at < valueBytes; at += 4096)
      this.#value.writeUInt32BE(Math.random() * 2 ** 32, at);
    const name = `value${key}`;
    this.#socket.write(`*3\r\n$3\r\nSET\r\n$${name.length}\r\n${name}\r\n$${valueBytes}\r\n`);
    this.#socket.write(this.#value);
    this.#socket.write('\r\n');
    const [reply] = (await once(this.#socket, 'data')) as [Buffer];
    if (!reply.toString().startsWith('+OK')) throw new Error(`Redis answered ${reply}`);
  }
}

function show({ pauseMs, transferSeconds, gapMs, ...sizes }: SnapshotDocument): string {
  const text = ({ median, min, max }: Distribution, unit: string): string =>
    `${median.toFixed(1)} ${unit} (${min.toFixed(1)} to ${max.toFixed(1)})`;
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  return [
    `a shadow for ${megabytes(sizes.ramBytes)} of RAM, ${megabytes(sizes.touchedBytes)} touched, ${pauseMs.rounds} rounds`,
    `the VM stood still      ${text(pauseMs, 'ms')}`,
    `until protected         ${text(transferSeconds, 's')}`,
    `a client waited         ${text(gapMs, 'ms')}`,
  ].join('\n');
}

export const snapshot: Bench = { rows: [], measure, show };
