/**
 * Recordings as an operator has them: a Linux guest under protection, recorded while it runs, its
 * recording fetched through the center, unpacked by tar, and replayed to the bit.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openConsole } from '../../src/api/console.ts';
import type { RecordingView } from '../../src/api/recording-endpoints.ts';
import type { RecordingTimelineView } from '../../src/api/timeline-endpoints.ts';
import type { VmView } from '../../src/api/views.ts';
import { emptyExt4 } from '../../src/images/ext4.ts';
import { eventually as waitFor } from '../wait.fixture.ts';
import { ProcessCluster } from './cluster.fixture.ts';
import {
  type Finished,
  imagesHome,
  imagesMissing,
  temporaryFolder,
  umbra,
} from './umbra.fixture.ts';

const missing = await imagesMissing('tiny');
const options = missing ? { skip: missing } : {};
const program = join(import.meta.dirname, '../../src/cli/main.ts');
const eventually = <T>(
  what: string,
  look: () => T | false | undefined | Promise<T | false | undefined>,
) => waitFor(what, 60_000, look);

const pass = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** The command, as somebody at this cluster. */
function command(cluster: ProcessCluster, ...args: string[]): Promise<Finished> {
  const env = { ...process.env, UMBRA_HOME: cluster.folderOf('home') };
  const child = spawn(process.execPath, [program, ...args], { env, stdio: 'pipe' });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((done) => child.once('close', (code) => done({ code, stdout, stderr })));
}

async function json<T>(cluster: ProcessCluster, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await command(cluster, ...args, '--json');
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

/** A shell of the guest. */
function shell(cluster: ProcessCluster, vm = 'web') {
  let shown = '';
  const console = openConsole(cluster.client, vm, {
    onOutput: (bytes) => {
      shown += Buffer.from(bytes).toString('latin1');
    },
    onEnd: () => {},
  });
  return {
    close: () => console.close(),
    /** @returns when this has come behind it */
    async type(text: string, answer: string): Promise<void> {
      const from = shown.length;
      console.input(Buffer.from(text));
      await eventually(`${answer} behind ${text}`, () => shown.indexOf(answer, from) >= 0);
    },
    shows: (text: string) => eventually(text, () => shown.includes(text)),
  };
}

async function withVm(
  act: (cluster: ProcessCluster, folder: string) => Promise<void>,
  image: 'tiny' | 'tiny-disk' = 'tiny',
) {
  const folder = temporaryFolder();
  if (image === 'tiny-disk') addDiskImage(folder.path);
  const home = image === 'tiny' ? {} : { home: folder.path };
  const cluster = await ProcessCluster.start({ gateway: false, hosts: 2, ...home });
  try {
    await json(cluster, 'vm', 'create', 'web', '--image', image, '--ft', '--host', 'host1');
    await json(cluster, 'vm', 'start', 'web');
    await act(cluster, folder.path);
  } catch (error) {
    const happened = await cluster.client.call('listEvents', { query: {} }).catch(() => []);
    throw new Error(
      `${happened.map(({ text, time }) => `${time} ${text}`).join('\n')}\n${cluster.tails()}`,
      {
        cause: error,
      },
    );
  } finally {
    await cluster.close();
    folder.remove();
  }
}

/** The image `tiny`, and an empty file system of 16 MiB beside it. */
function addDiskImage(home: string): void {
  const [tiny, folder] = [imagesHome, home].map((parent) => join(parent, 'images'));
  cpSync(join(tiny!, 'tiny'), join(folder!, 'tiny-disk'), { recursive: true });
  const disk = Buffer.alloc(16 << 20);
  for (const { offset, bytes } of emptyExt4(disk.length, 'data', 'data')) disk.set(bytes, offset);
  writeFileSync(join(folder!, 'tiny-disk', 'disk'), disk);
  const path = join(folder!, 'tiny-disk', 'image.json');
  const described = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const sha256 = createHash('sha256').update(disk).digest('hex');
  const disks = [{ path: 'disk', bytes: disk.length, sha256 }];
  writeFileSync(path, JSON.stringify({ ...described, name: 'tiny-disk', disks }));
}

/** Through the center, and unpacked. @returns its folder */
async function fetched(cluster: ProcessCluster, name: string, folder: string): Promise<string> {
  const file = join(folder, `${name}.tar.zst`);
  await json(cluster, 'record', 'export', 'web', name, '--to', file);
  execFileSync('tar', ['--zstd', '-xf', file, '-C', folder]);
  return join(folder, name);
}

test('a protected VM is recorded, and what was recorded replays to the bit', options, async (t) => {
  await withVm(async (cluster, folder) => {
    const guest = shell(cluster);
    await guest.shows('umbra: tiny ready');
    await cluster.state('web', 'running');
    const begun = await json<RecordingView>(cluster, 'record', 'start', 'web', 'walk');
    assert.deepEqual([begun.state, begun.host], ['recording', 'host1']);
    await guest.type('echo $((6 * 7)) is it\n', '42 is it');
    const [shown] = await eventually('its figures', async () => {
      const all = await json<RecordingView[]>(cluster, 'record', 'list', 'web');
      return all[0]!.seconds! > 0.2 && all[0]!.bytes > 1_000_000 ? all : undefined;
    });
    assert.ok(shown!.bytesPerSecond! > 0);
    const early = await command(cluster, 'record', 'export', 'web', 'walk', '--to', `${folder}/x`);
    assert.equal(early.code, 1);
    assert.match(early.stderr, /walk of web is under way. End it first: umbra record stop web/);
    const ended = await json<RecordingView>(cluster, 'record', 'stop', 'web');
    assert.deepEqual([ended.state, ended.end], ['ended', 'stopped']);
    await cluster.state('web', 'running');
    const replayed = await umbra(['replay', await fetched(cluster, 'walk', folder), '--json']);
    assert.equal(replayed.code, 0, replayed.stderr);
    const verified = await umbra(['replay', join(folder, 'walk'), '--verify', '--json']);
    assert.equal(verified.code, 0, verified.stdout);
    t.diagnostic(verified.stdout.trim());
    const console = await umbra(['replay', join(folder, 'walk')]);
    assert.match(console.stdout, /42 is it/);
    const timeline = ['record', 'timeline', 'web', 'walk'];
    const looked = await json<RecordingTimelineView>(cluster, ...timeline, '--replay');
    assert.ok(looked.replayed!.consoleBytes > 0);
    assert.equal(looked.instructions.length, looked.counts.length - 1);
    assert.match((await command(cluster, ...timeline)).stdout, /^typed +22 bytes$/m);
    // While the one that was recorded runs on, protected.
    const place = ['--to', 'text:42 is it'];
    const then = await json<VmView>(cluster, 'record', 'go-live', 'web', 'walk', 'then', ...place);
    assert.equal(then.isolated, true);
    const other = shell(cluster, 'then');
    await other.type('echo $((7 * 7)) is elsewhere\n', '49 is elsewhere');
    other.close();
    await cluster.state('web', 'running');
    await json(cluster, 'record', 'delete', 'web', 'walk');
    assert.deepEqual(await json(cluster, 'record', 'list', 'web'), []);
    guest.close();
  });
});

test(
  'a guest that panics is kept, replayed to its panic, and put back to before it, by hand and by itself',
  options,
  async (t) => {
    await withVm(async (cluster, folder) => {
      const guest = shell(cluster);
      await guest.shows('umbra: tiny ready');
      await cluster.state('web', 'running');
      await json(cluster, 'record', 'flight', 'web', '--minutes', '5', '--limit', '256M');
      await eventually('it holds something', async () => {
        const { code } = await command(cluster, 'record', 'keep', 'web', 'first');
        return code === 0;
      });
      // The next one begins at once.
      await pass(1_000);
      await guest.type('echo $((6 * 7)) is before; x=early\n', '42 is before');
      await pass(14_000);
      await guest.type('x=late; echo $((6 * 7)) is late\n', '42 is late');
      await pass(2_000);
      await guest.type('echo c > /proc/sysrq-trigger\n', 'Kernel panic - not syncing');
      const alarm = await eventually('the alarm', async () =>
        (await cluster.client.call('listAlarms')).find(({ kind }) => kind === 'guest-incident'),
      );
      assert.match(alarm.text, /the guest of web has failed on host1 \(Kernel panic - not syncing/);
      const all = await json<RecordingView[]>(cluster, 'record', 'list', 'web');
      const incident = all.find(({ name }) => name.startsWith('panic-'))!;
      assert.deepEqual([incident.state, incident.end], ['ended', 'kept']);
      const recording = await fetched(cluster, incident.name, folder);
      const verified = await umbra(['replay', recording, '--verify', '--json']);
      assert.equal(verified.code, 0, verified.stdout);
      t.diagnostic(verified.stdout.trim());
      const console = await umbra(['replay', recording]);
      assert.match(console.stdout, /42 is before.*Kernel panic - not syncing/s);
      const sign = await umbra(['replay', recording, '--until', 'incident']);
      assert.match(sign.stdout, /Kernel panic - not syncing/);
      assert.ok(sign.stdout.length < console.stdout.length + 1);
      const place = ['--recording', incident.name, '--to', 'text:Kernel panic'];
      const unsaid = await command(cluster, 'vm', 'rewind', 'web', ...place);
      assert.match(unsaid.stderr, /whatever it has told anybody/);
      const absent = ['--recording', incident.name, '--to', 'text:no such thing', '--yes'];
      const nowhere = await command(cluster, 'vm', 'rewind', 'web', ...absent);
      assert.match(nowhere.stderr, /"no such thing" does not appear/);
      guest.close();
      await json(cluster, 'vm', 'rewind', 'web', ...place, '--seconds-before', '10', '--yes');
      const again = shell(cluster);
      // Ten seconds before the panic, to the second.
      await again.type('echo $((6 * 8)) is $x\n', '48 is early');
      await cluster.state('web', 'running');
      const happened = async () => {
        const events = await cluster.client.call('listEvents', { query: { vm: 'web' } });
        return events.filter(({ kind }) => kind === 'vm-rewound');
      };
      const [event] = await happened();
      assert.match(event!.text, /what it has done since then is undone, acknowledged or not/);
      await cluster.client.call('acknowledgeAlarm', { params: { alarm: alarm.id } });

      // Once more, and this time nobody but the policy is there.
      const policy = ['--minutes', '5', '--on-incident', 'rewind:10s'];
      const set = await json<VmView>(cluster, 'record', 'flight', 'web', ...policy);
      assert.equal(set.flight?.rewindSeconds, 10);
      await again.type('y=early; echo $((6 * 9)) is it\n', '54 is it');
      await pass(14_000);
      await again.type('y=late; echo $((6 * 9)) is late\n', '54 is late');
      await pass(2_000);
      await again.type('echo c > /proc/sysrq-trigger\n', 'Kernel panic - not syncing');
      const byItself = await eventually('the policy', async () => (await happened())[1]);
      again.close();
      assert.match(byItself.text, /back by its policy, to 1[0-2]\.\d s before its guest failed:/);
      assert.match(byItself.text, /is undone, acknowledged or not/);
      // What is typed while it is off is typed to nobody.
      await cluster.state('web', 'running');
      const serving = shell(cluster);
      await serving.type('echo $((6 * 10)) is $x $y\n', '60 is early early');
      serving.close();
      await cluster.state('web', 'running');
      const raised = (await cluster.client.call('listAlarms')).filter(({ vm }) => vm === 'web');
      assert.deepEqual(
        raised.map(({ kind }) => kind),
        ['guest-incident'],
      );
      assert.match(raised[0]!.text, /put back by its policy/);
      const audit = await cluster.client.call('listAudit', { query: { vm: 'web', who: 'policy' } });
      assert.deepEqual(
        audit.map(({ action, outcome }) => [action, outcome]),
        [['rewindVm', 'done']],
      );
    });
  },
);

test(
  'a recording goes on where the VM has failed over to, and both parts replay to the bit',
  options,
  async (t) => {
    await withVm(async (cluster, folder) => {
      const guest = shell(cluster);
      await guest.shows('umbra: tiny ready');
      await cluster.state('web', 'running');
      await json(cluster, 'record', 'start', 'web', 'trip');
      await guest.type('echo $((6 * 7)) is here\n', '42 is here');
      guest.close();
      await pass(1_000);
      await cluster.killHost('host1');
      await eventually('its next part', async () => {
        const all = await json<RecordingView[]>(cluster, 'record', 'list', 'web');
        return all.find(({ name, host, state }) => {
          return name === 'trip-2' && host === 'host2' && state === 'recording';
        });
      });
      const there = shell(cluster);
      await there.type('echo $((6 * 8)) is there\n', '48 is there');
      there.close();
      const ended = await json<RecordingView>(cluster, 'record', 'stop', 'web');
      assert.deepEqual([ended.name, ended.end], ['trip-2', 'stopped']);
      await cluster.daemon('host', 'host1');
      await eventually('the first part', async () => {
        const all = await json<RecordingView[]>(cluster, 'record', 'list', 'web');
        return all.find(({ name, end }) => name === 'trip' && end === 'process-lost');
      });
      for (const [name, said] of [
        ['trip', '42 is here'],
        ['trip-2', '48 is there'],
      ] as const) {
        const recording = await fetched(cluster, name, folder);
        const verified = await umbra(['replay', recording, '--verify', '--json']);
        assert.equal(verified.code, 0, verified.stdout + verified.stderr);
        t.diagnostic(`${name}: ${verified.stdout.trim()}`);
        assert.ok((await umbra(['replay', recording])).stdout.includes(said));
      }
    });
  },
);

const toolMissing = ['e2fsck', 'debugfs'].find((tool) => spawnSync(tool, ['-V']).status === null);

test(
  'a guest with a file system on its disk is put back: what is on the disk is what it remembers',
  toolMissing === undefined ? options : { skip: `${toolMissing} is not installed` },
  async () => {
    await withVm(async (cluster) => {
      const guest = shell(cluster);
      await guest.shows('umbra: tiny ready');
      await cluster.state('web', 'running');
      await json(cluster, 'record', 'flight', 'web', '--minutes', '5', '--limit', '256M');
      const mount = 'mkdir -p /mnt; mount -t ext4 /dev/vda /mnt; echo $((6 * 7)) mounted\n';
      await guest.type(mount, '42 mounted');
      await eventually('it holds something', async () => {
        const { code } = await command(cluster, 'record', 'keep', 'web', 'first');
        return code === 0;
      });
      await new Promise((done) => setTimeout(done, 1_000));
      const write = (line: number): Promise<void> =>
        guest.type(
          `echo line-${line} >> /mnt/log; sync; echo $((${line} * 111)) written\n`,
          `${line * 111} written`,
        );
      for (const line of [1, 2, 3, 4, 5]) await write(line);
      await new Promise((done) => setTimeout(done, 500));
      for (const line of [6, 7]) await write(line);
      await guest.type(
        'dd if=/dev/urandom of=/mnt/noise bs=64k count=40; rm /mnt/log; sync; echo $((6 * 8)) lost\n',
        '48 lost',
      );
      await guest.type('echo c > /proc/sysrq-trigger\n', 'Kernel panic - not syncing');
      const name = await eventually('it is kept', async () => {
        const all = await json<RecordingView[]>(cluster, 'record', 'list', 'web');
        return all.find((each) => each.name.startsWith('panic-'))?.name;
      });
      guest.close();
      const place = ['--recording', name, '--to', 'text:555 written'];
      await json(cluster, 'vm', 'rewind', 'web', ...place, '--yes');
      const again = shell(cluster);
      const count =
        'echo $(grep -c line /mnt/log)-$(grep -c -e line-6 -e line-7 /mnt/log) counted\n';
      await again.type(count, '5-0 counted');
      // What it remembers is given up: this is read from the disk.
      await again.type(`echo 3 > /proc/sys/vm/drop_caches; ls /mnt; ${count}`, '5-0 counted');
      await cluster.state('web', 'running');
      const last = 'echo line-9 >> /mnt/log; sync; umount /mnt; echo $((6 * 9)) unmounted\n';
      await again.type(last, '54 unmounted');
      again.close();
      await json(cluster, 'vm', 'stop', 'web');
      const { id } = await cluster.client.call('showVm', { params: { vm: 'web' } });
      const [disk, replica] = ['host1', 'host2'].map((host) =>
        join(cluster.folderOf(host), 'vms', id, 'disk-0.raw'),
      );
      const checked = spawnSync('e2fsck', ['-f', '-n', disk!], { encoding: 'utf8' });
      assert.equal(checked.status, 0, checked.stdout);
      const debugfs = (what: string): string =>
        spawnSync('debugfs', ['-R', what, disk!], { encoding: 'utf8' }).stdout;
      const log = debugfs('cat /log');
      assert.equal(log, [1, 2, 3, 4, 5, 9].map((line) => `line-${line}\n`).join(''));
      const names = debugfs('ls -p /');
      assert.ok(!names.includes('noise'));
      assert.ok(readFileSync(disk!).equals(readFileSync(replica!)), 'the replica is another disk');
    }, 'tiny-disk');
  },
);
