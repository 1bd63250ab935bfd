/**
 * The host daemon between a center and its VM processes. Connections and processes are real; the
 * program in the VM process's place is a small one (vm-program.fixture.ts), since what a VM is
 * matters nothing here.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { CenterMessage, VmSpec, VmStatus } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import { TestCenter } from './center.fixture.ts';
import { TestAuthority } from './certificates.fixture.ts';
import { HostDaemon } from './daemon.ts';
import { KeptLog, until } from './ethernet.fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-daemon-'));
const data = join(folder, 'data');
const home = join(folder, 'home');
const program = fileURLToPath(new URL('./vm-program.fixture.ts', import.meta.url));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
let center: TestCenter;
let daemon: HostDaemon;

const files = { Image: Buffer.alloc(100_000, 'kernel'), initrd: Buffer.from('initrd') };
const file = (path: keyof typeof files) => ({
  path,
  bytes: files[path].length,
  sha256: sha256(files[path]),
});
const description = Buffer.from(
  JSON.stringify({ format: 1, kernel: file('Image'), initrd: file('initrd'), disks: [] }),
);
const digest = sha256(description);

const startDaemon = (): Promise<HostDaemon> =>
  HostDaemon.start({
    url: center.url,
    dataDirectory: data,
    name: 'red',
    home,
    vmProgram: program,
    tier: 'interpreter',
    log: new KeptLog().log,
    node,
  });

/** In Node's place: notes what it was called with, and is Node. */
const node = join(folder, 'node');
const calls = join(folder, 'calls');

before(async () => {
  const text = `#!/bin/sh\necho "$@" >> '${calls}'\nexec '${process.execPath}' "$@"\n`;
  writeFileSync(node, text, { mode: 0o755 });
  const authority = await TestAuthority.create(folder);
  center = await TestCenter.start(authority);
  await authority.issue('red', data);
  for (const [path, bytes] of Object.entries({ ...files, 'image.json': description })) {
    center.files.set(`${digest}/files/${path}`, bytes);
  }
  daemon = await startDaemon();
  await until('hello', () => center.all('red', 'hello').length === 1);
  const [hello] = center.all('red', 'hello');
  assert.equal(hello!.trunkAddress, '127.0.0.1', 'by default the address towards the center');
});

after(async () => {
  await daemon.close();
  center.close();
  rmSync(folder, { recursive: true, force: true });
});

const spec = (id: string, more: Partial<VmSpec> = {}): VmSpec => ({
  id,
  name: id,
  number: 1,
  image: 'tiny',
  imageDigest: digest,
  cpus: 1,
  memoryBytes: 1 << 26,
  mac: '52:54:00:00:00:01',
  disks: [],
  epochOffset: '0',
  randomSeed: '00',
  ...more,
});

const say = (message: CenterMessage): void => center.say('red', message);
const start = (vm: VmSpec): void => say({ kind: 'start', vm, fenced: false, acceptStale: false });

const lastStatus = (vm: string): VmStatus | undefined =>
  center
    .all('red', 'status')
    .flatMap(({ vms }) => vms)
    .filter((status) => status.vm === vm)
    .at(-1);

const isRole = (vm: string, role: VmStatus['role']) =>
  until(`${vm} is ${role}`, () => lastStatus(vm)?.role === role);

/** What the process of a VM was told, by kind. */
const told = (vm: string): unknown[] =>
  center
    .all('red', 'report')
    .filter((message) => message.vm === vm)
    .map(({ report }) => report['kind']);

const failures = (vm: string) => center.all('red', 'failed').filter((failed) => failed.vm === vm);

test('a VM starts from an image that is fetched once and verified', async () => {
  start(spec('first'));
  start(spec('second', { number: 2 }));
  await isRole('first', 'live');
  await isRole('second', 'live');
  assert.deepEqual(
    center.fetched.map((path) => path.split('/').at(-1)),
    ['image.json', 'Image', 'initrd'],
  );
  const [launch] = center.all('red', 'report').filter(({ vm }) => vm === 'first');
  assert.equal(launch!.report['imageDirectory'], join(data, 'images', digest));
  assert.equal(launch!.report['tier'], 'interpreter');
  assert.match(readFileSync(join(data, 'vms', 'first', 'log'), 'utf8'), /launched first/);
  const called = `--max-semi-space-size=8 ${program}\n`;
  assert.equal(readFileSync(calls, 'utf8'), called + called);
  start(spec('first'));
  say({ kind: 'consoleInput', vm: 'first', bytes: 'aGk=' });
  await until('console', () => center.all('red', 'console').some(({ bytes }) => bytes === 'aGk='));
  assert.deepEqual(told('first'), ['launch', 'consoleInput'], 'an order repeated starts nothing');
});

test('orders reach the process, refusals the center', async () => {
  say({ kind: 'protect', vm: 'first', shadowHost: 'blue' });
  say({ kind: 'handOver', vm: 'first' });
  await until('refused', () => failures('first').length === 1);
  assert.equal(failures('first')[0]!.code, 'hand-over-refused');
  say({ kind: 'reset', vm: 'nobody' });
  await until('refused', () => failures('nobody').length === 1);
  assert.equal(failures('nobody')[0]!.code, 'vm-not-here');
  const primary = { host: 'blue', address: '127.0.0.1', port: 1 };
  say({ kind: 'startShadow', vm: spec('first'), primary });
  await until('refused', () => failures('first').some(({ code }) => code === 'vm-live'));
});

test('after a reconnect the hello carries every status, and the end of consoles follows', async () => {
  const shown = () => center.all('red', 'console').map(({ offset, bytes }) => [offset, bytes]);
  const before = shown().length;
  center.drop('red');
  await until('hello again', () => center.all('red', 'hello').length === 2);
  const { vms } = center.all('red', 'hello').at(-1)!;
  assert.deepEqual(
    vms.map(({ vm, role }) => `${vm} ${role}`),
    ['first live', 'second live'],
  );
  // The center may be another one: it hears what was shown, and that before anything else.
  await until('the end again', () => shown().length > before);
  assert.deepEqual(shown().slice(before), [['0', 'aGk=']]);
});

test('a process that ends without a word is reported as ended', async () => {
  const { pid } = lastStatus('second')!;
  process.kill(pid, 'SIGKILL');
  await isRole('second', 'ended');
  assert.deepEqual(lastStatus('second')!.ended, {
    kind: 'process-lost',
    text: 'The VM process ended by SIGKILL, without a word.',
  });
  start(spec('second', { number: 2 }));
  await isRole('second', 'live');
  say({ kind: 'stop', vm: 'second', how: 'power-off' });
  await isRole('second', 'ended');
  assert.equal(lastStatus('second')!.ended!.kind, 'off');
});

test('a start while the older process is on its way out waits for it', async () => {
  start(spec('second', { number: 2 }));
  await isRole('second', 'live');
  const { pid } = lastStatus('second')!;
  say({ kind: 'stop', vm: 'second', how: 'power-off' });
  const primary = { host: 'blue', address: '127.0.0.1', port: 1 };
  await isRole('second', 'ended');
  say({ kind: 'startShadow', vm: spec('second', { number: 2 }), primary });
  await isRole('second', 'shadow');
  assert.notEqual(lastStatus('second')!.pid, pid);
  assert.equal(existsSync(`/proc/${pid}`), false);
  say({ kind: 'startShadow', vm: spec('second'), primary: { ...primary, port: 2 } });
  await until('a shadow of the other', () => {
    const reports = center.all('red', 'report').map(({ report }) => JSON.stringify(report));
    return reports.some((text) => text.includes('"port":2'));
  });
  say({ kind: 'dismiss', vm: 'second' });
  await until('dismissed', () => lastStatus('second')!.ended?.kind === 'dismissed');
});

test('a VM that is forgotten leaves nothing behind', async () => {
  const folderOf = (vm: string): string => join(data, 'vms', vm);
  start(spec('deleted'));
  await isRole('deleted', 'live');
  const { pid } = lastStatus('deleted')!;
  assert.ok(existsSync(folderOf('deleted')));
  say({ kind: 'dismiss', vm: 'deleted' });
  for (const vm of ['deleted', 'second', 'never', '../first']) say({ kind: 'forget', vm });
  await until('gone', () => !existsSync(folderOf('deleted')) && !existsSync(folderOf('second')));
  assert.equal(existsSync(`/proc/${pid}`), false);
  assert.ok(existsSync(folderOf('first')));
});

test('a replica is removed where nothing runs; what the host knows at the arbiter stays', async () => {
  const inFolder = (vm: string, name: string): string => join(data, 'vms', vm, name);
  const put = (vm: string): void => {
    mkdirSync(join(data, 'vms', vm), { recursive: true });
    for (const name of ['disk-0.raw', 'disk-11.raw', 'arbiter.json']) {
      writeFileSync(inFolder(vm, name), 'bytes');
    }
  };
  start(spec('kept'));
  await isRole('kept', 'live');
  put('kept');
  put('parted');
  for (const vm of ['kept', '../kept', 'never', 'parted']) say({ kind: 'removeReplica', vm });
  await until('removed', () => !existsSync(inFolder('parted', 'disk-11.raw')));
  assert.ok(!existsSync(inFolder('parted', 'disk-0.raw')));
  assert.ok(existsSync(inFolder('parted', 'arbiter.json')));
  assert.ok(existsSync(inFolder('kept', 'disk-0.raw')), 'the disk of a VM that runs');
  say({ kind: 'dismiss', vm: 'kept' });
});

test('the clock is told to a center that knows the message, and not to an older one', async () => {
  const told = (): number => center.all('red', 'clock').length;
  await until('its clock', () => told() > 0);
  assert.ok(Math.abs(center.all('red', 'clock')[0]!.unixMs - Date.now()) < 60_000);
  center.protocol = 1;
  const [before, hellos] = [told(), center.all('red', 'hello').length];
  center.drop('red');
  await until('it is back', () => center.all('red', 'hello').length > hellos);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(told(), before);
  center.protocol = undefined;
  center.drop('red');
  await until('its clock', () => told() > before);
});

test('what cannot start says why', async () => {
  start(spec('fails', { append: 'fail' }));
  await isRole('fails', 'ended');
  assert.deepEqual(lastStatus('fails')!.ended, { kind: 'start-refused', text: 'No.' });
  start(spec('absent', { imageDigest: '0'.repeat(64) }));
  await isRole('absent', 'ended');
  start(spec('../../escape'));
  await isRole('../../escape', 'ended');
  assert.equal(failures('../../escape')[0]!.code, 'vm-id-malformed');
  const changed = Buffer.from(description.toString().replace(/"bytes":6/, '"bytes":7'));
  const path = `${sha256(changed)}/files`;
  for (const [name, bytes] of Object.entries({ ...files, 'image.json': changed })) {
    center.files.set(`${path}/${name}`, bytes);
  }
  start(spec('damaged', { imageDigest: sha256(changed) }));
  await isRole('damaged', 'ended');
  assert.equal(failures('damaged')[0]!.code, 'image-damaged');
  assert.equal(existsSync(join(data, 'images', sha256(changed))), false);
});

test('an image that was built here is used where it is', async () => {
  const built = join(home, 'images', 'local');
  const text = Buffer.from(description.toString().replace('"disks"', '"name":"local","disks"'));
  mkdirSync(built, { recursive: true });
  for (const [path, bytes] of Object.entries({ ...files, 'image.json': text })) {
    writeFileSync(join(built, path), bytes);
  }
  const fetched = center.fetched.length;
  start(spec('local', { image: 'local', imageDigest: sha256(text) }));
  await isRole('local', 'live');
  assert.equal(center.fetched.length, fetched);
});

test('one daemon a folder; its VM processes end with it', async () => {
  await assert.rejects(startDaemon(), (error: unknown) => {
    assert.ok(error instanceof UmbraError);
    return error.code === 'already-running';
  });
  const pids = ['first', 'local'].map((vm) => lastStatus(vm)!.pid);
  await daemon.close();
  for (const pid of pids) assert.equal(existsSync(`/proc/${pid}`), false);
  daemon = await startDaemon();
});

test('a program that cannot be executed is refused before anything is joined', async () => {
  for (const node of [join(folder, 'no-such-node'), join(data, 'identity.pem')]) {
    const options = { url: center.url, dataDirectory: data, name: 'red', home, node };
    await assert.rejects(
      HostDaemon.start(options),
      (error) => error instanceof UmbraError && error.code === 'node-not-executable',
    );
  }
});
