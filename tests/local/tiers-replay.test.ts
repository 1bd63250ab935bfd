/**
 * Recordings across tiers: what one tier has executed beside its clocks, another one executes again
 * from the log alone, and meets every fingerprint. Whole guests, with modules, processes and
 * network, so code is hot in many places and far apart.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { CounterClient } from '../../src/cli/demo/counter-client.ts';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import type { Tier } from '../../src/host/tiers.ts';
import { imagesMissing, start, temporaryFolder, umbra } from '../system/umbra.fixture.ts';

const countingMs = 3_000;

async function replays(recording: string, tiers: readonly Tier[]): Promise<void> {
  for (const tier of tiers) {
    const args = ['replay', recording, '--verify', '--json', '--tier', tier];
    const { code, stdout, stderr } = await umbra(args);
    assert.equal(code, 0, `${tier}: ${stdout}${stderr}`);
    const result = JSON.parse(stdout) as { ok: boolean; fingerprintsCompared: number };
    assert.ok(result.ok, tier);
    assert.ok(result.fingerprintsCompared > 0, tier);
  }
}

/** Redis, counting for a client of this machine. */
async function recordRedis(recording: string, tier: Tier): Promise<void> {
  const port = await freePort();
  const publish = ['--publish', `${port}:6379`];
  const args = ['run', '--image', 'redis', ...publish, '--record', recording, '--tier', tier];
  const child = start(args);
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    const deadline = Date.now() + 120_000;
    while (!(await answersPing(port))) assert.ok(Date.now() < deadline, 'Redis never answered');
    const client = await CounterClient.connect(port);
    await new Promise((resolve) => setTimeout(resolve, countingMs));
    await client.stop();
    assert.ok(client.replies > 0);
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

test('what the interpreter has recorded, every other tier replays', async (t) => {
  const missing = await imagesMissing('redis');
  if (missing) return t.skip(missing);
  const folder = temporaryFolder();
  try {
    const recording = join(folder.path, 'recording');
    await recordRedis(recording, 'interpreter');
    await replays(recording, ['auto', 'translator', 'reluctant']);
  } finally {
    folder.remove();
  }
});

// Of `auto` the same is in run-replay.test.ts.
test('what the eager translator has recorded, the interpreter replays', async (t) => {
  const missing = await imagesMissing('tiny');
  if (missing) return t.skip(missing);
  const folder = temporaryFolder();
  try {
    const recording = join(folder.path, 'recording');
    const ran = await umbra(
      ['run', '--image', 'tiny', '--record', recording, '--tier', 'translator'],
      [
        {
          after: 'umbra: tiny ready',
          input: 'until ping -c 3 -A 10.86.0.1; do sleep 1; done; md5sum /bin/busybox; poweroff\n',
        },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /3 packets received/);
    await replays(recording, ['interpreter']);
  } finally {
    folder.remove();
  }
});
