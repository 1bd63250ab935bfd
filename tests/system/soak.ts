/**
 * `node tests/system/soak.ts [--minutes N] [--spinners N] [--nice N] [--pause MS] [--json]`: a
 * cluster under full load to which nothing happens. Real processes with production timing: center,
 * gateway, three hosts, two protected VMs (one with two CPUs), each under a client that asks all the
 * time, and processes that only burn a CPU (one for each of this machine's, if not told).
 *
 * No copy may go live, no epoch begin, no host be given up and no client be cut off: a host that is
 * late is not a host that is gone. Losing a shadow for want of a CPU is no failover, but the VM is
 * unprotected for so long; it is counted. Prints one document; exit 0 if nothing was that may not
 * be, 1 otherwise, with what was; 2 on wrong usage. Progress on standard error.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, setPriority } from 'node:os';
import { parseArgs } from 'node:util';
import { onStage, type RedisVm, type Stage, sleep } from '../../bench/cluster/stage.ts';
import type { EventView } from '../../src/api/views.ts';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';

const repliesFirst = 100;
const lookMs = 1_000;
const looksPerLine = 60;

/** What nobody has caused, and so may not be. */
const kindsForbidden: readonly string[] = [
  'ft-primary-failover',
  'ft-went-live',
  'ft-divergence',
  'arbiter-new-epoch',
  'ha-host-failed',
  'ha-vm-restarted',
];

export interface VmSoaked {
  readonly vm: string;
  readonly cpus: number;
  readonly requests: number;
  readonly lost: number;
  readonly repeated: number;
  readonly connectionsReset: number;
  readonly longestGapMs: number;
  readonly gapsOver1s: number;
  /** The greatest that was seen, once a second. */
  readonly lagMsMax: number;
  /** Of the looks, once a second, the share that found it protected. */
  readonly protectedShare: number;
  /** By how much the arbiter's number has grown: two for a shadow that is lost and replaced. */
  readonly generations: number;
}

export interface Soaked {
  readonly minutes: number;
  readonly spinners: number;
  /** The share of this machine's CPUs' time that was not idle. */
  readonly cpuBusyShare: number;
  /** The mean of the one-minute load, looked at once a minute. */
  readonly load: number;
  /** Of the whole cluster, by their kinds, since both VMs were protected. */
  readonly events: Readonly<Record<string, number>>;
  readonly vms: readonly VmSoaked[];
}

/** @returns what may not be, in words */
export function problemsOf({ events, vms }: Soaked): string[] {
  const found = kindsForbidden
    .filter((kind) => events[kind] !== undefined)
    .map((kind) => `${events[kind]} of ${kind}`);
  for (const { vm, requests, lost, repeated, connectionsReset } of vms) {
    if (lost > 0) found.push(`${vm}: ${lost} acknowledged requests lost`);
    if (repeated > 0) found.push(`${vm}: ${repeated} requests carried out twice`);
    if (connectionsReset > 0) found.push(`${vm}: the connection was reset`);
    if (requests === 0) found.push(`${vm}: no request was answered`);
  }
  return found;
}

/** One VM and the client that keeps it busy. */
class Soaking {
  readonly #vm: RedisVm;
  readonly #cpus: number;
  readonly #client: CounterClient;
  #from = 0;
  #generation = 0;
  #looks = 0;
  #protected = 0;
  #lagMsMax = 0;

  private constructor(vm: RedisVm, vcpus: number, client: CounterClient) {
    this.#vm = vm;
    this.#cpus = vcpus;
    this.#client = client;
  }

  static async start(stage: Stage, name: string, vcpus: number, pauseMs: number): Promise<Soaking> {
    const vm = await stage.startRedis({ name, cpus: vcpus, ft: true });
    await vm.protected();
    const client = await CounterClient.connect(vm.port, undefined, pauseMs);
    await stage.cluster.until('the client to count', () => client.replies >= repliesFirst);
    return new Soaking(vm, vcpus, client);
  }

  async begin(): Promise<void> {
    this.#from = performance.now();
    this.#generation = (await this.#vm.status()).generation;
  }

  async look(): Promise<void> {
    const { state, shadow } = await this.#vm.status();
    this.#looks += 1;
    if (state === 'running') this.#protected += 1;
    this.#lagMsMax = Math.max(this.#lagMsMax, shadow?.lagMs ?? 0);
  }

  /** What is said of it on the way. */
  toString(): string {
    const gapMs = this.#client.longestGapMs(this.#from, performance.now()).toFixed(0);
    const { replies } = this.#client;
    const looks = `protected at ${this.#protected} of ${this.#looks} looks`;
    return `${this.#vm.name}: ${replies} replies, longest gap ${gapMs} ms, ${looks}`;
  }

  async end(): Promise<VmSoaked> {
    const [client, to] = [this.#client, performance.now()];
    const requests = client.repliesSince(this.#from);
    const longestGapMs = Math.round(client.longestGapMs(this.#from, to));
    await client.stop();
    const { lost, repeated, connectionsReset } = client;
    return {
      ...{ vm: this.#vm.name, cpus: this.#cpus, requests, lost, repeated, connectionsReset },
      longestGapMs,
      gapsOver1s: client.gapsLongerThan(1_000, this.#from),
      lagMsMax: Math.round(this.#lagMsMax),
      protectedShare: this.#protected / this.#looks,
      generations: (await this.#vm.status()).generation - this.#generation,
    };
  }
}

/**
 * They do nothing, at once and all the time, and end with this process. In sessions of their own: a
 * Linux with autogroups (sched(7)) divides its CPUs between sessions first.
 */
function startSpinners(count: number, nice: number): readonly ChildProcess[] {
  const spin =
    "process.on('disconnect', () => process.exit()); (function spin() { for (const end = performance.now() + 100; performance.now() < end; ); setImmediate(spin); })()";
  return Array.from({ length: count }, () => {
    const child = spawn(process.execPath, ['-e', spin], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      detached: true,
    });
    setPriority(child.pid!, nice);
    const autogroup = `/proc/${child.pid}/autogroup`;
    if (existsSync(autogroup)) writeFileSync(autogroup, String(nice));
    return child;
  });
}

/** Milliseconds of all CPUs since this machine's start. */
function cpuTimes(): { readonly idle: number; readonly all: number } {
  let [idle, all] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    for (const ms of Object.values(times)) all += ms;
  }
  return { idle, all };
}

async function eventsBehind(stage: Stage, last: number): Promise<EventView[]> {
  const found: EventView[] = [];
  for (;;) {
    const after = found.at(-1)?.sequence ?? last;
    const page = await stage.cluster.client.call('listEvents', { query: { after } });
    if (page.length === 0) return found;
    found.push(...page);
  }
}

async function soak({ minutes, spinners, nice, pause }: Options): Promise<Soaked> {
  return onStage({ hosts: 3, images: ['redis'] }, async (stage) => {
    const soaking = [
      await Soaking.start(stage, 'one', 1, pause),
      await Soaking.start(stage, 'two', 2, pause),
    ];
    const burning = startSpinners(spinners, nice);
    console.error(`both protected; ${spinners} spinners: ${burning.map(({ pid }) => pid)}`);
    try {
      const events: Record<string, number> = {};
      let last = (await eventsBehind(stage, 0)).at(-1)!.sequence;
      const hear = async (): Promise<void> => {
        for (const { sequence, kind, time, text } of await eventsBehind(stage, last)) {
          last = sequence;
          events[kind] = (events[kind] ?? 0) + 1;
          console.error(`${time} ${kind}: ${text}`);
        }
      };
      for (const one of soaking) await one.begin();
      const before = cpuTimes();
      const loads: number[] = [];
      const end = performance.now() + minutes * 60_000;
      for (let look = 1; performance.now() < end; look++) {
        await sleep(lookMs);
        for (const one of soaking) await one.look();
        await hear();
        if (look % looksPerLine !== 0) continue;
        loads.push(loadavg()[0]!);
        const left = Math.max(0, (end - performance.now()) / 60_000);
        console.error(
          `${left.toFixed(0)} min left, load ${loads.at(-1)!.toFixed(1)}: ${soaking.join('; ')}`,
        );
      }
      const after = cpuTimes();
      const vms: VmSoaked[] = [];
      for (const one of soaking) vms.push(await one.end());
      await hear();
      return {
        ...{ minutes, spinners, events, vms },
        cpuBusyShare: 1 - (after.idle - before.idle) / (after.all - before.all),
        load: loads.reduce((sum, load) => sum + load, 0) / Math.max(1, loads.length),
      };
    } finally {
      for (const child of burning) child.kill('SIGKILL');
    }
  });
}

interface Options {
  readonly minutes: number;
  readonly spinners: number;
  /** Of the spinners: 0 competes with the VMs for each moment, 19 takes what they leave. */
  readonly nice: number;
  /** Milliseconds between a reply and the client's next request. */
  readonly pause: number;
  readonly json: boolean;
}

function usage(problem: string): never {
  console.error(problem);
  console.error(
    'usage: node tests/system/soak.ts [--minutes N] [--spinners N] [--nice N] [--pause MS] [--json]',
  );
  process.exit(2);
}

function parse(): Options {
  const options = {
    minutes: { type: 'string', default: '60' },
    spinners: { type: 'string', default: String(availableParallelism()) },
    nice: { type: 'string', default: '0' },
    pause: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  } as const;
  let values: { minutes: string; spinners: string; nice: string; pause: string; json: boolean };
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    return usage((error as Error).message);
  }
  const { json } = values;
  const [minutes, spinners] = [Number(values.minutes), Number(values.spinners)];
  const [nice, pause] = [Number(values.nice), Number(values.pause)];
  if (!(minutes > 0)) return usage(`--minutes takes a positive number, not "${values.minutes}".`);
  if (!Number.isInteger(spinners) || spinners < 0) {
    return usage(`--spinners takes a number, not "${values.spinners}".`);
  }
  if (!Number.isInteger(nice) || nice < 0 || nice > 19) {
    return usage(`--nice takes a number from 0 to 19, not "${values.nice}".`);
  }
  if (!(pause >= 0)) return usage(`--pause takes milliseconds, not "${values.pause}".`);
  return { minutes, spinners, nice, pause, json };
}

async function main(): Promise<void> {
  const options = parse();
  const soaked = await soak(options);
  const problems = problemsOf(soaked);
  const document = { ok: problems.length === 0, problems, ...soaked };
  console.log(options.json ? JSON.stringify(document) : JSON.stringify(document, undefined, 2));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}

if (import.meta.main) await main();
