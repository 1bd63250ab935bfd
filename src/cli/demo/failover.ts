/**
 * One failover, seen from outside: the host of a protected VM is lost while a client counts, the
 * other copy goes live, the lost host comes back.
 *
 * From: the API, the client's replies, the processes' ids. To: the demo's report and the bench
 * `failover`. When the other copy was live, and when the VM was protected again, is told by the
 * center's events, so that nobody asks the center while it has to answer as the arbiter. Their times
 * and the fault's are of one machine's clock, to the millisecond.
 */
import type { EventView, FtStatusView, HostView } from '../../api/views.ts';
import { UmbraError } from '../../base/errors.ts';
import type { CounterClient } from './counter-client.ts';
import type { DemoCluster } from './processes.ts';

export type FaultKind = 'kill' | 'silence';

export interface FailoverReport {
  readonly kind: FaultKind;
  /** The host that was lost, and the one that went on. */
  readonly from: string;
  readonly to: string;
  /** By the copy that went on, while it was the shadow. */
  readonly fingerprintsCompared: number;
  /** The longest interval between replies within 5 s of the fault. */
  readonly gapMs: number;
  /**
   * The part of it that is the failover alone: the longest interval until the other copy was live.
   * The longest within 5 s may lie behind it, where a new shadow starts on the same CPUs.
   */
  readonly interruptionMs: number;
  /** From the fault to the moment at which the arbiter made the other copy live. */
  readonly detectMs: number;
  readonly requestsBefore: number;
  readonly requestsAfter: number;
  readonly lost: number;
  readonly repeated: number;
  readonly connectionsReset: number;
  /** From the fault until the VM was protected again. */
  readonly reprotectedMs: number;
}

export interface FailoverScene {
  readonly cluster: DemoCluster;
  readonly vm: string;
  readonly client: CounterClient;
  readonly status: () => Promise<FtStatusView>;
  /** Starts a host again that was killed. */
  readonly restart: (host: string) => Promise<void>;
  readonly say: (text: string) => void;
  /** How a host is named to people. */
  readonly by: (host: string | undefined) => string;
}

const watchMs = 5_000;

/** @returns when the VM is protected again and the lost host is back */
export async function failOver(kind: FaultKind, scene: FailoverScene): Promise<FailoverReport> {
  const { cluster, client, status, say, by } = scene;
  const before = await comparedPair(scene);
  const lost = before.primary!.host;
  const host = await hostNamed(scene, lost);
  const pids = [...host.vmPids, ...(host.pid === null ? [] : [host.pid])];
  const requestsBefore = client.replies;
  const [lostBefore, repeatedBefore] = [client.lost, client.repeated];
  const resetBefore = client.connectionsReset;
  const after = await lastEvent(scene);
  say(
    kind === 'kill'
      ? `SIGKILL to all ${pids.length} processes of ${lost}, where the VM is live`
      : `SIGSTOP to all ${pids.length} processes of ${lost}: a host that goes silent`,
  );
  const [faultAt, faultTime] = [performance.now(), Date.now()];
  cluster.signal(pids, kind === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, watchMs));
  const gapMs = client.longestGapMs(faultAt, faultAt + watchMs);
  const requestsAfter = client.repliesSince(faultAt);
  const live = await awaitEvent(scene, after, 'ft-primary-failover', 'to be live elsewhere');
  const detectMs = Date.parse(live.time) - faultTime;
  const interruptionMs = client.longestGapMs(faultAt, faultAt + Math.max(0, detectMs));
  const now = (await status()).primary?.host;
  say(
    `live on ${by(now)}: the client waited ${Math.round(gapMs)} ms; ${requestsAfter} replies since`,
  );
  if (kind === 'kill') await scene.restart(lost);
  else await wakeStale(scene, lost, pids, host.vmPids);
  const enlisted = await awaitEvent(scene, after, 'ft-shadow-started', 'to be protected again');
  await cluster.until('the VM to be protected', async () => (await status()).state === 'running');
  const { shadow } = await status();
  say(`protected again: shadow on ${by(shadow?.host)}`);
  return {
    kind,
    from: lost,
    to: now ?? 'no host',
    fingerprintsCompared: before.fingerprintsCompared,
    gapMs: Math.round(gapMs * 10) / 10,
    interruptionMs: Math.round(interruptionMs * 10) / 10,
    detectMs,
    requestsBefore,
    requestsAfter,
    lost: client.lost - lostBefore,
    repeated: client.repeated - repeatedBefore,
    connectionsReset: client.connectionsReset - resetBefore,
    reprotectedMs: Date.parse(enlisted.time) - faultTime,
  };
}

/** Protected by a copy that has been compared: a fault before that would not show what it is worth. */
async function comparedPair({ cluster, status }: FailoverScene): Promise<FtStatusView> {
  let pair: FtStatusView | undefined;
  await cluster.until('the VM to be protected and its copies to be compared', async () => {
    pair = await status();
    return pair.state === 'running' && pair.fingerprintsCompared > 0;
  });
  return pair!;
}

/** Lets a frozen host go on: its copy of the VM is stale, must say nothing, and ends. */
async function wakeStale(
  { cluster, say }: FailoverScene,
  name: string,
  pids: readonly number[],
  vmPids: readonly number[],
): Promise<void> {
  cluster.signal(pids, 'SIGCONT');
  await cluster.until(`the stale copy on ${name} to end`, () =>
    vmPids.every((pid) => !isAlive(pid)),
  );
  say(`${name} goes on: its stale copy said nothing and has ended`);
}

async function hostNamed({ cluster }: FailoverScene, name: string): Promise<HostView> {
  const hosts = await cluster.client.call('listHosts');
  const host = hosts.find((one) => one.name === name);
  if (host === undefined) throw new UmbraError('demo-failed', `No host ${name}.`, 'Report this.');
  return host;
}

/** The number of the VM's last event; they come in pages, oldest first. */
async function lastEvent({ cluster, vm }: FailoverScene): Promise<number> {
  for (let after = 0; ; ) {
    const events = await cluster.client.call('listEvents', { query: { vm, after } });
    const last = events.at(-1);
    if (last === undefined) return after;
    after = last.sequence;
  }
}

/** The first event of this kind behind another one. */
async function awaitEvent(
  { cluster, vm }: FailoverScene,
  after: number,
  kind: string,
  what: string,
): Promise<EventView> {
  let found: EventView | undefined;
  await cluster.until(`the VM ${what}`, async () => {
    const events = await cluster.client.call('listEvents', { query: { vm, after } });
    found = events.find((event) => event.kind === kind);
    return found !== undefined;
  });
  return found!;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
