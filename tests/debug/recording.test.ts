/** Recordings with snapshots: seeking, limits, exports, going live, and what is wrong with them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openRecording, replayRecording } from '../../src/host/local/replay.ts';
import { countOfPlace } from '../../src/host/recording/place.ts';
import { imagesMissing, temporaryFolder, umbra } from '../system/umbra.fixture.ts';
import { compileRace, debuggingMissing } from './race.fixture.ts';

const noImage = await imagesMissing('tiny');
const options = noImage ? { skip: noImage } : {};

interface Replayed {
  readonly ok: boolean;
  readonly instructions: number;
  readonly seconds: number;
  readonly guestSeconds: number;
  readonly fingerprintsCompared: number;
}

async function replayed(...args: string[]): Promise<Replayed> {
  const ran = await umbra(['replay', ...args, '--json']);
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  return JSON.parse(ran.stdout) as Replayed;
}

const partsOf = (folder: string, kind: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.startsWith(kind))
    .sort();

test(
  'a recorded boot: every place is reached from snapshots, and all exports agree',
  options,
  async (t) => {
    const folder = temporaryFolder();
    const recording = join(folder.path, 'recording');
    try {
      const ran = await umbra(
        ['run', '--image', 'tiny', '--record', recording, '--snapshot-every', '0.3'],
        [
          { after: 'umbra: tiny ready', input: 'until ping -c 2 10.86.0.1; do sleep 1; done\n' },
          { after: '2 packets received', input: 'echo hel""lo; sleep 3; poweroff\n' },
        ],
      );
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stderr, /recorded \d+ s: log [\d.]+ MB, \d+ snapshots/);
      const snapshots = partsOf(recording, 'snapshot');
      assert.ok(snapshots.length >= 3, snapshots.join());
      t.diagnostic(`${ran.stderr.trim().split('\n').at(-1)}`);

      const whole = await replayed(recording, '--verify');
      assert.ok(whole.fingerprintsCompared > 0);
      const ready = await replayed(recording, '--until', 'text:tiny ready');
      const behind = await replayed(recording, '--from', String(ready.instructions), '--verify');
      assert.equal(behind.instructions, whole.instructions);
      await reachedFromSnapshots(recording, BigInt(whole.instructions));

      const file = (name: string): string => join(folder.path, name);
      const exported = [
        '--export-console',
        file('console'),
        '--export-frames',
        file('frames.pcapng'),
      ];
      await replayed(recording, ...exported, '--export-disk', file('disk'));
      const lines = readFileSync(file('console'), 'latin1').split('\n');
      const times = lines.flatMap((line) => /^\[ *([\d.]+)\]/.exec(line)?.[1] ?? []).map(Number);
      assert.ok(times.length > 10);
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
      assert.ok(lines.some((line) => /hello/.test(line)));
      const tshark = spawnSync(
        'tshark',
        ['-r', file('frames.pcapng'), '-T', 'fields', '-e', 'icmp.type'],
        {
          encoding: 'utf8',
        },
      );
      if (tshark.status === 0) {
        const types = tshark.stdout.split('\n').filter((type) => type !== '');
        assert.ok(types.includes('8') && types.includes('0'), tshark.stdout);
      } else assert.ok(statSync(file('frames.pcapng')).size > 500);

      for (const [args, expected] of [
        [['--until', '999999999999999'], /The recording reaches from count 0 to \d+/],
        [['--until', 'text:no such text'], /does not appear/],
        [['--until', 'nowhere'], /is no place/],
        [['--until', 'frame:9999999'], /no entry 9999999 of that kind .* it has \d+/],
        [['--until', 'incident'], /not kept for an incident/],
        [['--from', 'end', '--until', '5'], /comes before/],
        [['--speed', '0'], /not "0"/],
      ] as const) {
        const refused = await umbra(['replay', recording, ...args]);
        assert.ok(refused.code === 1 || refused.code === 2, args.join(' '));
        assert.match(refused.stderr, expected);
      }
      await damaged(recording, folder.path, whole);
      await live(recording);
    } finally {
      folder.remove();
    }
  },
);

/** The same end, from each snapshot: every one of them is the machine that it says. */
async function reachedFromSnapshots(folder: string, end: bigint): Promise<void> {
  const opened = openRecording(folder);
  const silent = { console: () => {}, progress: () => {} };
  for (const place of [
    'time:1',
    'time:2.5',
    'event:100',
    'text:hello',
    'frame:1',
    'input:2',
    'end',
  ]) {
    const until = await countOfPlace(opened.recording, place);
    const there = await replayRecording(opened, { until, ...silent });
    const rest = await replayRecording(opened, { from: there.instructions, ...silent });
    for (const { divergence } of [there, rest]) assert.equal(divergence, undefined, place);
    assert.equal(rest.instructions, end, place);
  }
}

/** Each kind of damage, on a copy. */
async function damaged(recording: string, folder: string, whole: Replayed): Promise<void> {
  const copy = join(folder, 'copy');
  const fresh = (): void => {
    rmSync(copy, { recursive: true, force: true });
    cpSync(recording, copy, { recursive: true });
  };
  const flip = (name: string, at: number): void => {
    const bytes = readFileSync(join(copy, name));
    bytes[Math.floor(bytes.length * at)]! ^= 0x10;
    writeFileSync(join(copy, name), bytes);
  };
  const logs = partsOf(recording, 'log');
  const last = logs.at(-1)!;

  fresh();
  const bytes = readFileSync(join(copy, last));
  writeFileSync(join(copy, last), bytes.subarray(0, -5));
  const torn = await umbra(['replay', copy, '--verify', '--json']);
  assert.equal(torn.code, 0, torn.stderr);
  assert.match(torn.stderr, /torn/);
  assert.ok((JSON.parse(torn.stdout) as Replayed).instructions <= whole.instructions);

  // A damaged snapshot is passed over, never taken for a machine.
  fresh();
  for (const name of partsOf(copy, 'snapshot')) flip(name, 0.5);
  const slow = await umbra(['replay', copy, '--from', 'end', '--verify', '--json']);
  assert.equal(slow.code, 0, slow.stderr);
  assert.match(slow.stderr, /snapshot-\d+ is damaged; an earlier one serves/);
  assert.equal((JSON.parse(slow.stdout) as Replayed).instructions, whole.instructions);
  assert.equal((await replayed(copy, '--verify')).instructions, whole.instructions);

  if (logs.length > 1) {
    fresh();
    rmSync(join(copy, logs[0]!));
    const rest = await umbra(['replay', copy, '--verify', '--json']);
    if (rest.code !== 0) assert.match(rest.stderr, /snapshot|missing|begins/);
    fresh();
    flip(logs[0]!, 0.7);
    const middle = await umbra(['replay', copy, '--verify']);
    assert.equal(middle.code, 1);
    assert.match(middle.stderr, /damaged/);
  }

  for (const [field, expected] of [
    ['format', /format 7/],
    ['machineVersion', /machine version 7/],
  ] as const) {
    fresh();
    const path = join(copy, 'machine.json');
    const machine = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...machine, [field]: 7 }));
    const foreign = await umbra(['replay', copy]);
    assert.equal(foreign.code, 1);
    assert.match(foreign.stderr, expected);
  }
  fresh();
  copyFileSync(join(copy, 'initrd'), join(copy, 'kernel'));
  const other = await umbra(['replay', copy]);
  assert.match(other.stderr, /kernel has been altered/);
}

/** From the moment at which the shell was ready, another VM goes on, and it is alone. */
async function live(recording: string): Promise<void> {
  const ran = await umbra(
    ['replay', recording, '--go-live', '--until', 'text:tiny ready'],
    [{ after: 'live from count', input: '\necho al""ive; ping -c 1 -W 1 10.86.0.1; poweroff\n' }],
  );
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /alive/);
  assert.match(ran.stdout, /100% packet loss|[Uu]nreachable/);
}

test('a VM with a disk goes live with the disk of that moment', options, async () => {
  const folder = temporaryFolder();
  const recording = join(folder.path, 'recording');
  const [disk, before] = [join(folder.path, 'disk'), join(folder.path, 'before')];
  try {
    for (const path of [disk, before]) writeFileSync(path, new Uint8Array(1 << 20));
    const write = (text: string, seek: number): string =>
      `echo ${text} | dd of=/dev/vda bs=512 seek=${seek} conv=sync,notrunc; sync; echo wr""ote ${text}\n`;
    const ran = await umbra(
      ['run', '--image', 'tiny', '--disk', disk, '--record', recording],
      [
        { after: 'umbra: tiny ready', input: write('first', 0) },
        { after: 'wrote first', input: write('second', 8) },
        { after: 'wrote second', input: 'poweroff\n' },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(readFileSync(disk, 'latin1'), /second/);
    const writes = join(folder.path, 'writes');
    await replayed(recording, '--export-disk', writes);
    const lines = readFileSync(writes, 'utf8').trim().split('\n');
    const written = lines.map((line) => JSON.parse(line) as { offset: number; data?: string });
    assert.ok(
      written.some(({ data }) => /^first/.test(Buffer.from(data ?? '', 'base64').toString())),
    );

    const noDisk = await umbra(['replay', recording, '--go-live']);
    assert.equal(noDisk.code, 1);
    assert.match(noDisk.stderr, /has 1 disks, and 0 files/);
    const lived = await umbra(
      ['replay', recording, '--go-live', '--until', 'text:wrote first', '--disk', before],
      [
        {
          after: 'live from count',
          input: '\ndd if=/dev/vda bs=512 count=9 2>/dev/null | tr -d "\\000"; poweroff\n',
        },
      ],
    );
    assert.equal(lived.code, 0, lived.stderr);
    assert.match(lived.stdout, /first/);
    assert.doesNotMatch(lived.stdout, /second/);
    const kept = readFileSync(before, 'latin1');
    assert.ok(/first/.test(kept) && !/second/.test(kept));
  } finally {
    folder.remove();
  }
});

const noCompiler = debuggingMissing();

test('a limit keeps the newest, and what is left replays', { skip: noCompiler }, async (t) => {
  const folder = temporaryFolder();
  const recording = join(folder.path, 'recording');
  try {
    const elf = compileRace(folder.path);
    const ran = await umbra([
      ...['run', '--kernel', elf, '--cpus', '2', '--memory', '64M', '--json'],
      ...['--record', recording, '--snapshot-every', '0.05', '--record-limit', '16M'],
    ]);
    assert.equal(ran.code, 0, ran.stderr);
    t.diagnostic(`${partsOf(recording, 'snapshot').length} snapshots`);
    const { instructions } = JSON.parse(ran.stdout) as { instructions: number };
    assert.equal((await replayed(recording, '--verify')).instructions, instructions);
    const from = await replayed(recording, '--from', 'end', '--verify');
    assert.equal(from.instructions, instructions);
    const trace = join(folder.path, 'trace');
    const stretch = ['--from', String(instructions - 200_000), '--until', 'end'];
    await replayed(recording, ...stretch, '--trace', trace, '--symbols', elf);
    const lines = readFileSync(trace, 'utf8').trim().split('\n');
    const entered = (name: string): number =>
      lines.filter((line) => line.endsWith(` ${name}`)).length;
    assert.equal(entered('fault'), 1);
    assert.ok(entered('take') > 100 && entered('give') > 100, `${lines.length} lines`);
    const counts = lines.map((line) => Number(line.split(' ')[0]));
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
    );
  } finally {
    folder.remove();
  }
});

test('a full disk ends the recording, not the VM', options, async (t) => {
  const folder = temporaryFolder();
  const small = join(folder.path, 'small');
  mkdirSync(small);
  const mounted =
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=60m', 'tmpfs', small]).status === 0;
  if (!mounted) {
    folder.remove();
    return t.skip('no file system can be mounted here');
  }
  const firstSnapshot = join(small, 'recording', 'snapshot-000000');
  // Once there is something to go back to there is no more room, nor later, when a snapshot that did
  // not fit has been removed.
  const fill = setInterval(() => {
    if (!existsSync(firstSnapshot)) return;
    const filler = [`of=${join(small, 'filler')}`, 'oflag=append', 'conv=notrunc'];
    for (const size of ['64k', '1k']) spawnSync('dd', ['if=/dev/zero', `bs=${size}`, ...filler]);
  }, 50);
  try {
    const typed = `: ${randomBytes(6_000)
      .toString('hex')
      .match(/.{100}/g)!
      .join('\n: ')}\n`;
    const ran = await umbra(
      ['run', '--image', 'tiny', '--record', join(small, 'recording'), '--snapshot-every', '0.2'],
      [{ after: 'umbra: tiny ready', input: `${typed}echo still he""re; poweroff\n` }],
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /still here/);
    t.diagnostic(ran.stderr);
    assert.match(ran.stderr, /ENOSPC.*The machine goes on, the recording has ended/);
    const kept = await replayed(join(small, 'recording'), '--verify');
    assert.equal(kept.ok, true);
    assert.ok(kept.instructions > 1_000_000);
  } finally {
    clearInterval(fill);
    spawnSync('umount', [small]);
    folder.remove();
  }
});
