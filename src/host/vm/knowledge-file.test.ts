import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import type { Ask, Reply, VmRecord } from '../../lockstep/arbiter.ts';
import { KnowledgeFile } from './knowledge-file.ts';

const a = { host: 'a', process: 'pa' };
const b = { host: 'b', process: 'pb' };
const ask: Omit<Ask, 'operation'> = {
  vm: 'v',
  member: a,
  epoch: 1,
  generation: 1,
  claimId: 'x',
};

function granted(generation: number, epoch = 1): Reply {
  const record: VmRecord = {
    epoch,
    generation,
    state: 'live',
    live: a,
    eligibleShadow: undefined,
    currentReplicas: ['a'],
    claimId: 'x',
  };
  return { vm: 'v', claimId: 'x', granted: true, refusal: undefined, record };
}

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-known-'));
  try {
    await act(folder);
  } finally {
    for (const file of files.splice(0)) await file.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const files: KnowledgeFile[] = [];
async function open(folder: string): Promise<KnowledgeFile> {
  const file = await KnowledgeFile.open(folder, assert.fail);
  files.push(file);
  return file;
}

test('a later process knows what this one was told, asked and promised', async () => {
  await inFolder(async (folder) => {
    const first = await open(folder);
    assert.deepEqual(first.newest, { epoch: 0, generation: 0 });
    assert.ok(await first.replied(granted(5)));
    await first.asking({ ...ask, operation: { kind: 'makeEligible', shadow: b } });
    const second = await open(folder);
    assert.equal(second.newest.generation, 5);
    const known = granted(0, 0).record!;
    const operation = { kind: 'register', known, intent: undefined } as const;
    const registration = await second.asking({ ...ask, epoch: 2, operation });
    assert.ok(registration?.operation.kind === 'register');
    assert.equal(registration.operation.known.generation, 5);
    assert.deepEqual(registration.operation.intent, b);
    // What was granted in the epoch before comes too late, for every process of this host.
    assert.equal(await second.replied(granted(6)), false);
    assert.equal(await (await open(folder)).replied(granted(6)), false);
  });
});

test('many at once are stored before any of them goes on', async () => {
  await inFolder(async (folder) => {
    const file = await open(folder);
    const later = Array.from({ length: 50 }, async (_, generation) => {
      await file.replied(granted(generation + 1));
      assert.ok((await open(folder)).newest.generation > generation);
    });
    await Promise.all(later);
    assert.equal((await open(folder)).newest.generation, 50);
  });
});

test('a torn write leaves what was known before', async () => {
  await inFolder(async (folder) => {
    const path = join(folder, 'arbiter.known');
    await (await open(folder)).replied(granted(1));
    const before = readFileSync(path);
    await (await open(folder)).replied(granted(2));
    const after = readFileSync(path);
    const from = before.findIndex((byte, at) => byte !== after[at]);
    for (let torn = from + 1; torn < from + 200; torn += 7) {
      writeFileSync(path, Buffer.concat([after.subarray(0, torn), before.subarray(torn)]));
      const { generation } = (await open(folder)).newest;
      assert.ok(generation === 1 || after.equals(readFileSync(path)), `torn at ${torn}`);
    }
  });
});
