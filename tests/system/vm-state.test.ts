/**
 * States of VMs through all parts: the command line, a real center, real hosts. What a state holds
 * is vm-suspend.test.ts's and vm-snapshot.test.ts's business; here it is who knows what.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import pino from 'pino';
import type { ArchiveSum } from '../../src/api/archive.ts';
import type { SnapshotView } from '../../src/api/state-endpoints.ts';
import type { TaskView } from '../../src/api/tasks.ts';
import type { VmView } from '../../src/api/views.ts';
import { TestCenter, until } from '../../src/center/cluster.fixture.ts';
import { HostDaemon } from '../../src/host/daemon.ts';
import { diskAfter, diskBytes, vmGuestKernel } from './vm-guest.fixture.ts';

const program = resolve(import.meta.dirname, '../../src/cli/main.ts');
const writes = 10_000;
const waitMs = 30_000;
let center: TestCenter;
const hosts = new Map<string, HostDaemon>();

before(async () => {
  center = await TestCenter.start();
  addImage();
  for (const name of ['red', 'blue']) await startHost(name);
});

after(async () => {
  for (const host of hosts.values()) await host.close();
  await center.close();
});

async function startHost(name: string): Promise<void> {
  const host = await HostDaemon.start({
    url: center.url,
    token: hosts.has(name) ? undefined : await center.token(),
    dataDirectory: join(center.folder, name),
    name,
    home: join(center.folder, 'no-images-here'),
    log: pino({ level: 'silent' }),
  });
  hosts.set(name, host);
}

/** The guest that counts, as an image that hosts fetch from the center. */
function addImage(): void {
  const folder = join(center.home, 'images', 'counting');
  mkdirSync(folder, { recursive: true });
  const guest = { tickMicros: 1000, ticksPerFrame: 4, writes, touchedBytes: 1 << 20 };
  const contents = {
    Image: Buffer.from(vmGuestKernel(guest)),
    initrd: Buffer.alloc(16),
    disk: Buffer.alloc(diskBytes),
  };
  const file = (path: keyof typeof contents) => {
    writeFileSync(join(folder, path), contents[path]);
    const sha256 = createHash('sha256').update(contents[path]).digest('hex');
    return { path, bytes: contents[path].length, sha256 };
  };
  const description = {
    ...{ format: 1, name: 'counting', summary: '', append: '', memory: 16 << 20 },
    ...{ kernel: file('Image'), initrd: file('initrd'), disks: [file('disk')] },
  };
  writeFileSync(join(folder, 'image.json'), JSON.stringify(description));
}

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...args: string[]): Promise<Finished> {
  const credentials = join(center.data, 'admin.json');
  const child = spawn(process.execPath, [program, ...args, '--credentials', credentials], {
    env: { ...process.env, UMBRA_CENTER: center.url, UMBRA_HOME: center.home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((done) => child.once('close', (code) => done({ code, stdout, stderr })));
}

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...args, '--json');
  assert.equal(code, 0, `umbra ${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

const show = (vm: string): Promise<VmView> => center.client.call('showVm', { params: { vm } });

const kinds = async (vm: string): Promise<string[]> =>
  (await center.client.call('listEvents', { query: { vm } })).map(({ kind }) => kind);

const isProtected = (vm: string): Promise<true> =>
  until(
    `${vm} is protected`,
    async () => ((await show(vm)).ft.state === 'running' ? true : undefined),
    waitMs,
  );

const diskOf = async (vm: string, host: string): Promise<Buffer> =>
  readFileSync(join(center.folder, host, 'vms', (await show(vm)).id, 'disk-0.raw'));

test('suspend and start: the same power-on, and no cold start', { timeout: 120_000 }, async () => {
  const made = await json<VmView>('vm', 'create', 'one', '--image', 'counting', '--ft', '--start');
  await isProtected('one');
  const suspended = await json<VmView>('vm', 'suspend', 'one');
  assert.equal(suspended.state, 'suspended');
  const { host } = await json<VmView>('vm', 'start', 'one');
  assert.equal(host, suspended.host);
  await isProtected('one');
  const seen = await kinds('one');
  assert.deepEqual(
    seen.filter((kind) => /^vm-(powered-on|suspended|resumed)$/.test(kind)),
    ['vm-powered-on', 'vm-suspended', 'vm-resumed'],
  );
  assert.equal((await show('one')).id, made.id);
});

test('snapshots: taken, listed, gone back to, deleted', { timeout: 180_000 }, async () => {
  await isProtected('one');
  const first = await json<SnapshotView>('vm', 'snapshot', 'create', 'one', 'first');
  const { host } = await show('one');
  assert.equal(first.host, host);
  assert.ok(first.hostConnected && first.bytes > 0);
  assert.equal(first.state, 'poweredOn');
  await json('vm', 'snapshot', 'create', 'one', 'second');
  const again = await run('vm', 'snapshot', 'create', 'one', 'first');
  assert.match(again.stderr, /has a snapshot "first" already/);
  assert.equal((await show('one')).ft.state, 'running');
  const refused = await run('vm', 'snapshot', 'revert', 'one', 'first');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /gives up what one is now.*--yes/s);
  // It fails over: the snapshots stay where they are, and going back goes there.
  await json('ft', 'test-failover', 'one');
  assert.notEqual((await show('one')).host, host);
  const reverted = await json<VmView>('vm', 'snapshot', 'revert', 'one', 'first', '--yes');
  assert.deepEqual([reverted.state, reverted.host], ['poweredOn', host]);
  await isProtected('one');
  const list = await json<SnapshotView[]>('vm', 'snapshot', 'list', 'one');
  assert.deepEqual(
    list.map(({ name, host: where }) => [name, where]),
    [
      ['first', host],
      ['second', host],
    ],
  );
  const table = await run('vm', 'snapshot', 'list', 'one');
  assert.match(table.stdout, /NAME +TAKEN +STATE +HOST +SIZE\nfirst +\d{4}-.*\nsecond /);
  assert.equal((await run('vm', 'snapshot', 'delete', 'one', 'second')).code, 0);
  const left = readdirSync(join(center.folder, host!, 'vms', (await show('one')).id, 'snapshots'));
  assert.deepEqual(left, [first.id]);
  const unknown = await run('vm', 'snapshot', 'delete', 'one', 'second');
  assert.match(unknown.stderr, /no snapshot "second" \(it has first\)/);
});

test('the guest does all its work once, whatever became of it', { timeout: 120_000 }, async () => {
  const { host } = await show('one');
  const expected = diskAfter(writes);
  const isWritten = async () => ((await diskOf('one', host!)).equals(expected) ? true : undefined);
  await until('all is written', isWritten, 60_000);
});

test('a clone has the disks and an identity of its own', { timeout: 120_000 }, async () => {
  const refused = await run('vm', 'clone', 'one', 'two');
  assert.match(refused.stderr, /one is not powered off.*--snapshot/s);
  const fromSnapshot = await json<VmView>('vm', 'clone', 'one', 'two', '--snapshot', 'first');
  await json('vm', 'stop', 'one');
  const three = await json<VmView>('vm', 'clone', 'one', 'three');
  const one = await show('one');
  assert.deepEqual([fromSnapshot.state, three.state], ['poweredOff', 'poweredOff']);
  for (const key of ['id', 'number', 'mac'] as const) {
    assert.equal(new Set([one[key], fromSnapshot[key], three[key]]).size, 3, key);
  }
  const expected = diskAfter(writes);
  assert.ok((await diskOf('three', three.host!)).equals(expected));
  const earlier = await diskOf('two', fromSnapshot.host!);
  assert.ok(!earlier.equals(expected));
  // And it runs, where its disks are.
  const running = await json<VmView>('vm', 'start', 'two');
  assert.equal(running.host, fromSnapshot.host);
  assert.equal((await run('vm', 'stop', 'two')).code, 0);
});

test('a VM that is off is exported, resized, and runs with what it has got', async () => {
  const { result, host } = await json<TaskView>('vm', 'export', 'one');
  const file = String(result?.['file']);
  assert.match(file, new RegExp(`/${host}/exports/one-[0-9TZ-]+\\.tar\\.zst$`));
  assert.ok(readFileSync(file).length > 0);
  // The same through the center, to where the command runs.
  const own = join(center.folder, 'one.tar.zst');
  const { bytes, sha256 } = await json<ArchiveSum>('vm', 'export', 'one', '--to', own);
  const archive = readFileSync(own);
  const sum = createHash('sha256').update(archive).digest('hex');
  assert.deepEqual([bytes, sha256], [archive.length, sum]);
  const extract = ['--extract', '--to-stdout', '--file', '-', 'disk-0.raw'];
  const disk = execFileSync('tar', extract, { input: zstdDecompressSync(archive) });
  assert.ok(disk.equals(await diskOf('one', host!)));
  const shrinks = await run('vm', 'resize', 'one', '--disk', '0=512');
  assert.match(shrinks.stderr, /it cannot get 4096/);
  await json('vm', 'resize', 'one', '--memory', '20M', '--cpus', '2', '--disk', '0=1M');
  const running = await json<VmView>('vm', 'start', 'one');
  assert.deepEqual([running.cpus, running.memoryBytes], [2, 20 << 20]);
  const resized = await run('vm', 'resize', 'one', '--cpus', '1');
  assert.match(resized.stderr, /not powered off/);
  // Both replicas grow, each when it is next opened.
  await isProtected('one');
  for (const name of ['red', 'blue']) assert.equal((await diskOf('one', name)).length, 1 << 20);
  const grown = (await diskOf('one', running.host!)).subarray(diskBytes);
  assert.ok(grown.every((byte) => byte === 0));
  // Back to before: the disk is what it was then, on both.
  const { memoryBytes } = await json<VmView>('vm', 'snapshot', 'revert', 'one', 'first', '--yes');
  assert.equal(memoryBytes, 16 << 20);
  await isProtected('one');
  for (const name of ['red', 'blue']) assert.equal((await diskOf('one', name)).length, diskBytes);
  await json('vm', 'stop', 'one');
});

test('a VM that is off has snapshots of its disks, and goes back to them', {
  timeout: 180_000,
}, async () => {
  const taken = await json<SnapshotView>('vm', 'snapshot', 'create', 'one', 'asleep');
  const { state, host, memoryBytes } = taken;
  assert.equal(state, 'poweredOff');
  const asleep = await diskOf('one', host);
  await json('vm', 'resize', 'one', '--memory', '24M');
  await json('vm', 'start', 'one');
  await isProtected('one');
  const isOther = async () => ((await diskOf('one', host)).equals(asleep) ? undefined : true);
  await until('the guest has written', isOther, waitMs);
  await json('vm', 'suspend', 'one');
  const back = await json<VmView>('vm', 'snapshot', 'revert', 'one', 'asleep', '--yes');
  assert.deepEqual([back.state, back.host, back.memoryBytes], ['poweredOff', host, memoryBytes]);
  assert.ok((await diskOf('one', host)).equals(asleep));
  // What it is now can be copied, like what it was then, and taken again.
  const copies = [['four'], ['five', '--snapshot', 'asleep']];
  for (const [name, ...from] of copies) {
    const copy = await json<VmView>('vm', 'clone', 'one', name!, ...from);
    assert.ok((await diskOf(name!, copy.host!)).equals(asleep), name);
  }
  await json('vm', 'snapshot', 'create', 'one', 'again');
  const seen = (await kinds('one')).length;
  const started = await json<VmView>('vm', 'start', 'one');
  assert.deepEqual([started.state, started.host], ['poweredOn', host]);
  await isProtected('one');
  const since = (await kinds('one')).slice(seen);
  assert.ok(since.includes('vm-powered-on') && !since.includes('vm-resumed'), String(since));
  // While it runs, too, it goes back to being off; or is powered on from there.
  const on = await json<VmView>('vm', 'snapshot', 'revert', 'one', 'again', '--yes', '--start');
  assert.equal(on.state, 'poweredOn');
  const off = await json<VmView>('vm', 'snapshot', 'revert', 'one', 'asleep', '--yes');
  assert.equal(off.state, 'poweredOff');
  assert.ok((await diskOf('one', host)).equals(asleep));
});

test("a VM from a kernel and a disk of one's own", { timeout: 120_000 }, async () => {
  const guest = { tickMicros: 1000, ticksPerFrame: 4, writes: 300, touchedBytes: 1 << 20 };
  const [kernel, disk] = ['own-kernel', 'own-disk'].map((name) => join(center.folder, name));
  writeFileSync(kernel!, vmGuestKernel(guest));
  // More than the guest writes to: what is behind it is what was brought along.
  const brought = Buffer.alloc(2 * diskBytes, 'brought along');
  writeFileSync(disk!, brought);
  const files = ['--kernel', kernel!, '--disk', disk!, '--memory', '16M'];
  const { image } = await json<VmView>('vm', 'create', 'own', ...files, '--ft', '--start');
  assert.equal(image, 'own-own');
  assert.ok(!existsSync(join(center.home, 'images', image)));
  await isProtected('own');
  const written = diskAfter(300);
  const isWritten = async () => {
    const bytes = await diskOf('own', (await show('own')).host!);
    return bytes.subarray(0, diskBytes).equals(written) ? bytes : undefined;
  };
  const bytes = await until('all is written', isWritten, 60_000);
  assert.ok(bytes.subarray(diskBytes).equals(brought.subarray(diskBytes)));
  await json('vm', 'stop', 'own');
  await json('vm', 'delete', 'own');
});

test('a saved state whose host is away is waited for, or given up', {
  timeout: 180_000,
}, async () => {
  await json('vm', 'start', 'one');
  await isProtected('one');
  const { host } = await json<VmView>('vm', 'suspend', 'one');
  const other = host === 'red' ? 'blue' : 'red';
  const daemon = hosts.get(host!)!;
  await daemon.close();
  const isAway = async () =>
    (await center.client.call('showHost', { params: { host: host! } })).state === 'notResponding'
      ? true
      : undefined;
  await until('the host is away', isAway, waitMs);
  const refused = await run('vm', 'start', 'one');
  assert.equal(refused.code, 1);
  const why = new RegExp(
    `saved state is on ${host}, which is not responding.*--discard-state`,
    's',
  );
  assert.match(refused.stderr, why);
  const gone = await run('vm', 'snapshot', 'revert', 'one', 'first', '--yes');
  assert.match(gone.stderr, /is not responding\. The snapshot first is there and nowhere else/);
  const list = await run('vm', 'snapshot', 'list', 'one');
  assert.match(list.stdout, new RegExp(`${host} \\(not responding\\)`));
  const started = await json<VmView>('vm', 'start', 'one', '--discard-state');
  assert.deepEqual([started.state, started.host], ['poweredOn', other]);
  await startHost(host!);
  await isProtected('one');
  const folder = join(center.folder, host!, 'vms', started.id);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('saved-')),
    [],
  );
});
