/**
 * What a cluster does when one thing breaks, row by row of docs/outcomes.md: those rows that no other
 * test shows with real processes. One cluster, one protected Redis that writes every change to its
 * disk, one client that counts over one connection. It is never reset, but where its gateway goes.
 *
 * Each row ends protected again, so that the next one finds what it needs.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  globSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { AlarmView } from '../../src/api/lifecycle-views.ts';
import type { EventView, FtStatusView } from '../../src/api/views.ts';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';
import { answersPing } from '../../src/cli/demo/ports.ts';
import { loadImage } from '../../src/images/image.ts';
import { ProcessCluster } from './cluster.fixture.ts';
import { imagesHome, imagesMissing, temporaryFolder } from './umbra.fixture.ts';

const vm = 'redis';
const params = { vm };
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A host whose disk is small: all of its folder. */
const smallHost = 'host2';
/** Its replica of the 64 MiB disk and what a host needs beside it. */
const smallBytes = 112 << 20;
/** A host whose wall clock the test sets. */
const clockHost = 'host3';
/** Until its processes see a new setting: libfaketime reads it once a second. */
const clockNoticedMs = 1_500;
const [libfaketime] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');

let cluster: ProcessCluster;
let client: CounterClient;
let port: number;
const small = temporaryFolder();
const clocks = temporaryFolder();
const clockFile = join(clocks.path, 'clock');
let isSmallMounted = false;

const ft = (): Promise<FtStatusView> => cluster.ft(vm);
const isProtected = (): Promise<FtStatusView> => cluster.state(vm, 'running');
const alarms = (): Promise<AlarmView[]> => cluster.client.call('listAlarms');

/** All events behind this one; they come in pages. */
async function eventsAfter(sequence: number): Promise<EventView[]> {
  const found: EventView[] = [];
  for (let from = sequence; ; from = found.at(-1)!.sequence) {
    const page = await cluster.client.call('listEvents', { query: { after: from } });
    found.push(...page);
    if (page.length === 0) return found;
  }
}
const lastEvent = async (): Promise<number> => (await eventsAfter(0)).at(-1)!.sequence;

/** Until it has been noted; it may be told a moment later than it can be seen. */
async function noted(
  sequence: number,
  kind: string,
  data: Readonly<Record<string, unknown>>,
): Promise<void> {
  const holds = (event: EventView): boolean =>
    event.kind === kind && Object.entries(data).every(([key, value]) => event.data[key] === value);
  await cluster.until(`the event ${kind} ${JSON.stringify(data)}`, async () =>
    (await eventsAfter(sequence)).some(holds),
  );
}

async function alarmed(kind: string, host: string): Promise<AlarmView> {
  let found: AlarmView | undefined;
  await cluster.until(`the alarm ${kind} of ${host}`, async () => {
    found = (await alarms()).find((alarm) => alarm.kind === kind && alarm.host === host);
    return found !== undefined;
  });
  return found!;
}

async function acknowledge({ id }: AlarmView): Promise<void> {
  await cluster.client.call('acknowledgeAlarm', { params: { alarm: id } });
}

/** Acts while the client counts; nothing is lost, repeated or reset by it, and the VM is protected. */
async function counted(t: TestContext, act: () => Promise<void>): Promise<void> {
  const from = performance.now();
  const after = await lastEvent();
  await act();
  const done = performance.now();
  await cluster.until('the client to count on', async () => client.repliesSince(done) >= 50);
  await isProtected();
  const gapMs = client.longestGapMs(from, performance.now());
  const kinds = (await eventsAfter(after)).map(({ kind }) => kind);
  t.diagnostic(`${Math.round(done - from)} ms, longest wait ${gapMs.toFixed(0)} ms`);
  t.diagnostic(kinds.join(' '));
  assert.equal(client.problem, undefined);
  assert.deepEqual([client.lost, client.repeated, client.connectionsReset], [0, 0, 0]);
  assert.ok(!kinds.includes('ft-divergence'));
  assert.equal((await ft()).divergences, 0);
}

/** One command to Redis over a connection of its own, which it then ends. @returns its answer */
function ask(...words: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${words.join(' ')}\r\nQUIT\r\n`));
    let answer = '';
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer to ${words.join(' ')}`)));
    socket.once('error', reject);
    socket.on('data', (bytes) => {
      answer += bytes.toString();
    });
    socket.once('close', () => resolve(answer));
  });
}

/** The guest has not been told of any failed write. */
async function guestWroteAll(): Promise<void> {
  const said = await ask('INFO', 'persistence');
  assert.match(said, /aof_enabled:1\r/);
  assert.match(said, /aof_last_write_status:ok\r/);
}

/** How far the guest's clock is ahead of this machine's. */
async function guestAheadMs(): Promise<number> {
  const [, , seconds, , micros] = (await ask('TIME')).split('\r\n');
  return Number(seconds) * 1000 + Number(micros) / 1000 - Date.now();
}

async function moveShadow(host: string): Promise<void> {
  const { shadow } = await isProtected();
  if (shadow!.host === host) return;
  await cluster.client.call('migrateShadow', { params, body: { host } });
  await cluster.until(`the shadow to be on ${host}`, async () => {
    const now = await ft();
    return now.state === 'running' && now.shadow?.host === host;
  });
}

async function movePrimaryAwayFrom(host: string): Promise<void> {
  if ((await isProtected()).primary!.host !== host) return;
  await cluster.client.call('testFailover', { params });
  await cluster.until(`the VM to be live elsewhere than on ${host}`, async () => {
    const now = await ft();
    return now.state === 'running' && now.primary?.host !== host;
  });
}

/** Until the shadow of before is live. */
async function failedOver({ shadow, generation }: FtStatusView): Promise<void> {
  await cluster.until('a failover', async () => {
    const now = await ft();
    return now.primary?.host === shadow!.host && now.generation > generation;
  });
}

/** A reply to what was asked last may be under way, and one be read late; behind them is nothing. */
async function nothingIsSaid(otherwise: string): Promise<void> {
  const repliesWithin = async (ms: number): Promise<number> => {
    const { replies } = client;
    await pause(ms);
    // What has come meanwhile is read first.
    await new Promise((resolve) => setImmediate(resolve));
    return client.replies - replies;
  };
  for (let late = 0, more = 1; more > 0; late += more) {
    more = await repliesWithin(500);
    assert.ok(late + more <= 2, `${otherwise}: ${late + more} replies`);
  }
  assert.equal(await repliesWithin(1_500), 0, otherwise);
}

/** Writes until nothing more fits. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  const block = Buffer.alloc(1 << 16, 1);
  try {
    for (let size = block.length; size >= 512; ) {
      try {
        if (writeSync(file, block, 0, size) < size) size >>= 1;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        size >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
}

function mountSmall(at: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    const options = `size=${smallBytes},mode=700`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'umbra-test', small.path]);
  } catch {
    return false;
  }
  symlinkSync(small.path, at);
  return true;
}

const missing = await imagesMissing('redis-disk');

describe('one thing breaks', missing === undefined ? {} : { skip: missing }, () => {
  before(async () => {
    const prepare = (made: ProcessCluster): void => {
      isSmallMounted = mountSmall(made.folderOf(smallHost));
      writeFileSync(clockFile, '+0\n');
      if (libfaketime === undefined) return;
      made.environments.set(clockHost, {
        LD_PRELOAD: libfaketime,
        FAKETIME_TIMESTAMP_FILE: clockFile,
        FAKETIME_CACHE_DURATION: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      });
    };
    cluster = await ProcessCluster.start({ hosts: 3, prepare });
    const { append } = await loadImage(imagesHome, 'redis-disk');
    const image = { image: 'redis-disk', append: `${append} appendonly=yes` };
    port = await cluster.redis(vm, { ft: true, host: 'host1', ...image });
    client = await CounterClient.connect(port);
    await guestWroteAll();
  });

  after(async () => {
    // One that has failed may wait for its reply for ever.
    await Promise.race([client?.stop(), pause(2_000)]);
    await cluster?.close();
    if (isSmallMounted) execFileSync('umount', [small.path]);
    small.remove();
    clocks.remove();
  });

  test("the shadow's disk is full: another host protects, the guest hears nothing", async (t) => {
    if (!isSmallMounted) return t.skip('needs root on Linux, to mount a small file system');
    const ballast = join(small.path, 'ballast');
    await counted(t, async () => {
      await moveShadow(smallHost);
      const { primary } = await ft();
      const [disk] = globSync(join(small.path, 'vms', '*', 'disk-0.raw'));
      // What is zero takes no room, and needs some as soon as it is written.
      execFileSync('fallocate', ['--dig-holes', disk!]);
      const sequence = await lastEvent();
      fill(ballast);
      await noted(sequence, 'ft-terminated', { vm, host: smallHost, kind: 'disk-failed' });
      await acknowledge(await alarmed('disk-failing', smallHost));
      const now = await isProtected();
      assert.deepEqual(now.primary, primary);
      assert.notEqual(now.shadow!.host, smallHost);
    });
    await guestWroteAll();
    rmSync(ballast);
  });

  test("the primary's disk fails: its shadow takes over, the guest hears nothing", async (t) => {
    await counted(t, async () => {
      const was = await isProtected();
      const sequence = await lastEvent();
      // From now on the kernel refuses whatever this process writes beyond the first 64 KiB of a file.
      execFileSync('prlimit', ['--pid', String(was.primary!.pid), '--fsize=65536:65536']);
      await failedOver(was);
      const { host } = was.primary!;
      await noted(sequence, 'ft-primary-failover', { vm, from: host, host: was.shadow!.host });
      await acknowledge(await alarmed('disk-failing', host));
    });
    await guestWroteAll();
  });

  test('the VM process of the primary alone is killed: its host stays', async (t) => {
    await counted(t, async () => {
      const was = await isProtected();
      const { host, pid } = was.primary!;
      const daemon = await cluster.client.call('showHost', { params: { host } });
      const sequence = await lastEvent();
      process.kill(pid!, 'SIGKILL');
      await failedOver(was);
      await noted(sequence, 'ft-terminated', { vm, host, kind: 'process-lost' });
      await noted(sequence, 'ft-primary-failover', { vm, from: host, host: was.shadow!.host });
      await isProtected();
      const now = await cluster.client.call('showHost', { params: { host } });
      assert.deepEqual([now.state, now.pid], ['connected', daemon.pid]);
      const events = await eventsAfter(sequence);
      assert.ok(!events.some(({ kind }) => kind === 'host-not-responding'));
    });
  });

  test('the center is killed: the pair goes on; a failover waits for it, then happens', async (t) => {
    await counted(t, async () => {
      const was = await isProtected();
      const { host, pid } = was.primary!;
      const daemon = await cluster.client.call('showHost', { params: { host } });
      await cluster.kill('center');
      const alone = performance.now();
      await cluster.until('the client to count on', async () => client.repliesSince(alone) >= 50);
      process.kill(pid!, 'SIGKILL');
      process.kill(daemon.pid!, 'SIGKILL');
      await nothingIsSaid('somebody speaks whom the arbiter has not made live');
      process.kill(was.shadow!.pid!, 0);
      await cluster.startCenter();
      await failedOver(was);
      await cluster.daemon('host', host);
    });
  });

  test('the arbiter is away and the shadow lost: outputs are held, the VM is not lost', async (t) => {
    await counted(t, async () => {
      const was = await isProtected();
      await cluster.kill('center');
      process.kill(was.shadow!.pid!, 'SIGKILL');
      await nothingIsSaid('outputs leave while a shadow may yet claim');
      await cluster.startCenter();
      const again = performance.now();
      await cluster.until('the client to count on', async () => client.repliesSince(again) >= 50);
      assert.deepEqual((await isProtected()).primary, was.primary);
    });
  });

  test('the clock of a host jumps by an hour: an alarm, and nothing else', async (t) => {
    if (libfaketime === undefined) return t.skip('needs the Debian package faketime');
    await counted(t, async () => {
      await movePrimaryAwayFrom(clockHost);
      const aheadMs = await guestAheadMs();
      const guestClockStays = async (when: string): Promise<void> => {
        const jumpMs = (await guestAheadMs()) - aheadMs;
        assert.ok(Math.abs(jumpMs) < 2_000, `${when}: the guest's clock jumped by ${jumpMs} ms`);
      };
      const sequence = await lastEvent();
      writeFileSync(clockFile, '+1h\n');
      const alarm = await alarmed('host-clock-off', clockHost);
      assert.match(alarm.text, /3(599|600)\.\d s ahead/);
      // Certificates are looked at, and a claim is made, an hour ahead.
      await moveShadow(clockHost);
      const was = await isProtected();
      process.kill(was.primary!.pid!, 'SIGKILL');
      await failedOver(was);
      await guestClockStays('live on the host that is ahead');
      const { primary } = await isProtected();
      // And back, under the live copy.
      writeFileSync(clockFile, '+0\n');
      await pause(clockNoticedMs);
      await guestClockStays('live on a host whose clock was put back');
      assert.deepEqual((await isProtected()).primary, primary);
      const kinds = (await eventsAfter(sequence)).map(({ kind }) => kind);
      assert.equal(kinds.filter((kind) => kind === 'ft-primary-failover').length, 1);
      assert.ok(!kinds.includes('host-not-responding') && !kinds.includes('certificate-ended'));
    });
  });

  test('the gateway is killed: no failover; its connections end, new ones are answered', async () => {
    const was = await isProtected();
    const sequence = await lastEvent();
    await cluster.kill('gateway');
    await cluster.until('the connection to end', async () => client.problem !== undefined);
    assert.deepEqual([client.lost, client.repeated], [0, 0]);
    await cluster.daemon('gateway', 'gateway', ['--publish-address', '127.0.0.1']);
    await cluster.until('Redis to answer again', () => answersPing(port));
    // What the client was told holds; the request that was on its way may have been carried out.
    const counter = (await ask('GET', 'counter')).split('\r\n')[1];
    assert.ok(['0', '1'].includes(String(Number(counter) - client.value)), `${counter}`);
    await ask('SET', 'counter', '0');
    client = await CounterClient.connect(port);
    await cluster.until('a new connection to count', async () => client.replies >= 50);
    assert.deepEqual((await isProtected()).primary, was.primary);
    const kinds = (await eventsAfter(sequence)).map(({ kind }) => kind);
    assert.ok(!kinds.includes('ft-primary-failover'));
    assert.deepEqual([client.lost, client.repeated], [0, 0]);
  });
});
