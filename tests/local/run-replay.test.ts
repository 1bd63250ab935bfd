/** `umbra run` and `umbra replay` as a user has them: typing, network, recording, bad input. */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import { imagesMissing, start, temporaryFolder, umbra } from '../system/umbra.fixture.ts';

const missing = await imagesMissing('tiny');
const options = missing ? { skip: missing } : {};

test('a recorded run with typing and network replays to the same bit', options, async (t) => {
  const folder = temporaryFolder();
  try {
    const recording = join(folder.path, 'recording');
    const ran = await umbra(
      ['run', '--image', 'tiny', '--record', recording, '--json'],
      [
        {
          after: 'umbra: tiny ready',
          input: 'until ping -c 3 10.86.0.1; do sleep 1; done; echo pinged\n',
        },
        { after: 'pinged\r\n', input: 'nproc; poweroff\n' },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr);
    const run = JSON.parse(ran.stdout) as { instructions: number; stop: string };
    assert.equal(run.stop, 'off');
    assert.match(ran.stderr, /3 packets received/);
    const replayed = await umbra(['replay', recording, '--verify', '--json']);
    assert.equal(replayed.code, 0, replayed.stderr);
    const replay = JSON.parse(replayed.stdout) as Record<string, unknown>;
    t.diagnostic(replayed.stdout.trim());
    assert.equal(replay['ok'], true);
    assert.equal(replay['instructions'], run.instructions);
    assert.ok((replay['fingerprintsCompared'] as number) > 0);
    // Whatever tier recorded it, every tier meets the same fingerprints.
    for (const tier of ['interpreter', 'translator']) {
      const other = await umbra(['replay', recording, '--verify', '--json', '--tier', tier]);
      assert.equal(other.code, 0, `${tier}: ${other.stderr}`);
    }
    // Torn at its end: what is whole replays.
    const logs = readdirSync(recording).filter((name) => name.startsWith('log-'));
    const log = join(recording, logs.sort().at(-1)!);
    truncateSync(log, readFileSync(log).length - 7);
    const torn = await umbra(['replay', recording, '--verify', '--json']);
    assert.equal(torn.code, 0, torn.stderr);
    assert.match(torn.stderr, /torn/);
    // A byte changed in the middle ends the log there: nothing is guessed.
    const bytes = readFileSync(log);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(log, bytes);
    const altered = await umbra(['replay', recording, '--verify', '--json']);
    assert.match(altered.stderr, /torn/);
    // Another kernel: refused.
    copyFileSync(join(recording, 'initrd'), join(recording, 'kernel'));
    const foreign = await umbra(['replay', recording, '--verify']);
    assert.equal(foreign.code, 1);
    assert.match(foreign.stderr, /kernel has been altered/);
  } finally {
    folder.remove();
  }
});

test(
  '--cpus 4 shows four, and the same instructions give the same fingerprint',
  options,
  async () => {
    const ran = await umbra(
      ['run', '--image', 'tiny', '--cpus', '4'],
      [{ after: 'umbra: tiny ready', input: 'grep -c ^processor /proc/cpuinfo; poweroff\n' }],
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /\r\n4\r\n/);
  },
);

test('the virtio console carries a shell, both ways', options, async () => {
  const ran = await umbra(
    ['run', '--image', 'tiny', '--console', 'virtio', '--append', 'console=hvc0 quiet'],
    [{ after: 'umbra: tiny ready', input: 'echo from $(cat /proc/consoles); poweroff\n' }],
  );
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /from hvc0/);
});

test('a client of this machine reaches a published port', options, async (t) => {
  const noRedis = await imagesMissing('redis');
  if (noRedis) return t.skip(noRedis);
  const port = await freePort();
  const child = start(['run', '--image', 'redis', '--publish', `${port}:6379`]);
  try {
    const deadline = Date.now() + 120_000;
    while (!(await answersPing(port))) assert.ok(Date.now() < deadline, 'Redis never answered');
  } finally {
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGTERM');
    await ended;
  }
});

test('--max-instructions stops exactly there', options, async () => {
  const ran = await umbra(['run', '--image', 'tiny', '--max-instructions', '5000001', '--json']);
  const result = JSON.parse(ran.stdout) as { instructions: number; stop: string };
  assert.equal(result.instructions, 5_000_001);
  assert.equal(result.stop, 'limit');
});

test('bad input is refused with what, why and what to do', options, async () => {
  const folder = temporaryFolder();
  const server = createServer();
  try {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const text = join(folder.path, 'text');
    writeFileSync(text, 'no kernel');
    const x86 = join(folder.path, 'x86');
    copyFileSync(process.execPath, x86);
    const cases: [args: string[], expected: RegExp][] = [
      [['--image', 'nonesuch'], /nonesuch/],
      [[], /either --image or --kernel/],
      [['--kernel', join(folder.path, 'missing')], /cannot be read \(ENOENT\)/],
      [['--kernel', text], /only 9 bytes/],
      [['--kernel', x86], /not RISC-V/],
      [['--image', 'tiny', '--memory', '8M'], /memory/],
      [['--image', 'tiny', '--memory', '9G'], /memory/],
      [['--image', 'tiny', '--memory', '32M'], /memory/],
      [['--image', 'tiny', '--cpus', '9'], /CPUs/],
      [['--image', 'tiny', '--disk', join(folder.path, 'disk')], /does not exist/],
      [['--image', 'tiny', '--publish', 'x:1'], /pair of ports/],
      [['--image', 'tiny', '--publish', `${port}:80`], /in use/],
      [['--image', 'tiny', '--record', folder.path], /not empty/],
    ];
    for (const [args, expected] of cases) {
      const { code, stderr } = await umbra(['run', ...args], [], 30_000);
      assert.ok(code === 1 || code === 2, `${args.join(' ')}: ${code} ${stderr}`);
      assert.match(stderr, expected);
    }
    const { code, stderr } = await umbra(['replay', folder.path]);
    assert.equal(code, 1);
    assert.match(stderr, /no recording/);
  } finally {
    server.close();
    folder.remove();
  }
});
