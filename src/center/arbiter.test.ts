/**
 * The arbiter on SQLite: what was granted is never forgotten, also if the process is killed in the
 * middle of asks; a store that was put back notices and begins a new epoch.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import type { Ask, Member, Operation, Reply, VmRecord } from '../lockstep/arbiter.ts';
import { Arbiter } from './arbiter.ts';
import { EmbeddedStore } from './store/embedded-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-arbiter-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let folders = 0;
const newFolder = (): string => join(folder, String(folders++));

async function open(directory: string, isNew = false) {
  const store = new EmbeddedStore(directory);
  const arbiter = new Arbiter(store.arbiter);
  await arbiter.open(isNew);
  return { store, arbiter };
}

const a: Member = { host: 'a', process: 'a1' };
const b: Member = { host: 'b', process: 'b1' };
let claims = 0;

function ask(member: Member, { epoch, generation }: VmRecord, operation: Operation): Ask {
  return { vm: 'v', member, epoch, generation, claimId: `claim-${claims++}`, operation };
}

/** A pair under way: a is live in generation 2, b may go live. */
async function withPair(directory: string) {
  const opened = await open(directory, true);
  const { arbiter } = opened;
  await arbiter.create('v', ['a']);
  const start = await arbiter.ask(ask(a, arbiter.entry('v')!.record, { kind: 'start' }));
  const eligible = ask(a, start.record!, { kind: 'makeEligible', shadow: b });
  assert.ok(start.granted && (await arbiter.ask(eligible)).granted);
  return opened;
}

test('records survive a restart, in the same epoch', async () => {
  const directory = newFolder();
  const first = await withPair(directory);
  const before = first.arbiter.entry('v');
  await first.store.close();
  const { store, arbiter } = await open(directory);
  assert.deepEqual(
    JSON.parse(JSON.stringify(before)),
    JSON.parse(JSON.stringify(arbiter.entry('v'))),
  );
  assert.equal(arbiter.epoch, 1);
  const claim = ask(b, arbiter.entry('v')!.record, { kind: 'claim' });
  assert.ok((await arbiter.ask(claim)).granted);
  // The very same ask again, as after a lost reply.
  assert.ok((await arbiter.ask(claim)).granted);
  assert.equal(arbiter.entry('v')!.record.generation, 3);
  await store.close();
});

test('of two claims in one generation one is granted, also across a restart', async () => {
  const directory = newFolder();
  const first = await withPair(directory);
  const { record } = first.arbiter.entry('v')!;
  assert.ok((await first.arbiter.ask(ask(b, record, { kind: 'claim' }))).granted);
  await first.store.close();
  const { store, arbiter } = await open(directory);
  const late = await arbiter.ask(ask(a, record, { kind: 'goAlone' }));
  assert.equal(late.refusal, 'generation');
  assert.deepEqual(late.record?.live, b);
  await store.close();
});

test('a database put back from a backup begins a new epoch and waits for the hosts', async () => {
  const directory = newFolder();
  const backup = newFolder();
  const first = await withPair(directory);
  await first.store.close();
  cpSync(join(directory, 'center.db'), join(backup, 'center.db'), { recursive: true });
  // After the backup: the shadow is lost, the primary goes on alone.
  const second = await open(directory);
  const alone = await second.arbiter.ask(
    ask(a, second.arbiter.entry('v')!.record, { kind: 'goAlone' }),
  );
  await second.store.close();
  cpSync(join(backup, 'center.db'), join(directory, 'center.db'));

  const { store, arbiter } = await open(directory);
  assert.ok(arbiter.epoch > 1);
  const { record } = arbiter.entry('v')!;
  assert.equal(record.generation, 2, 'the backup has forgotten generation 3');
  const claim = ask(b, record, { kind: 'claim' });
  assert.equal((await arbiter.ask(claim)).refusal, 'recovering');
  assert.equal(arbiter.certain('v'), undefined);
  const now = { ...record, epoch: arbiter.epoch, generation: 0 };
  const register = (member: Member, known: VmRecord) =>
    arbiter.ask(ask(member, now, { kind: 'register', known, intent: undefined }));
  assert.equal((await register(b, record)).granted, false);
  assert.equal((await register(a, alone.record!)).granted, true);
  assert.equal((await arbiter.ask(claim)).refusal, 'generation');
  assert.deepEqual(arbiter.certain('v')?.live, a);
  await store.close();
});

test('a folder that was copied begins a new epoch', async () => {
  const directory = newFolder();
  await (await withPair(directory)).store.close();
  const copied = newFolder();
  cpSync(directory, copied, { recursive: true });
  const { store, arbiter } = await open(copied);
  assert.ok(arbiter.epoch > 1);
  await store.close();
});

test('an asker who knows a later generation betrays a store that was put back whole', async () => {
  const { store, arbiter } = await withPair(newFolder());
  const { record } = arbiter.entry('v')!;
  const later = { ...record, generation: record.generation + 4 };
  assert.equal((await arbiter.ask(ask(b, later, { kind: 'claim' }))).refusal, 'recovering');
  assert.ok(arbiter.epoch > record.epoch);
  assert.equal((await arbiter.ask(ask(b, record, { kind: 'claim' }))).refusal, 'recovering');
  await store.close();
});

test('a VM that the arbiter does not know has no record', async () => {
  const { store, arbiter } = await open(newFolder(), true);
  const reply = await arbiter.ask(
    ask(a, { epoch: 1, generation: 0 } as VmRecord, { kind: 'start' }),
  );
  assert.equal(reply.refusal, 'unknown-vm');
  await store.close();
});

test('a removed host counts as heard', async () => {
  const { store, arbiter } = await withPair(newFolder());
  await arbiter.newEpoch();
  await arbiter.forgetHost('a');
  assert.equal(arbiter.certain('v'), undefined);
  await arbiter.forgetHost('b');
  assert.ok(arbiter.certain('v'));
  await store.close();
});

/** Grants without end, each told only after `ask` has returned. */
const asker = `
  import { Arbiter } from ${JSON.stringify(new URL('./arbiter.ts', import.meta.url))};
  import { EmbeddedStore } from ${JSON.stringify(new URL('./store/embedded-store.ts', import.meta.url))};
  const arbiter = new Arbiter(new EmbeddedStore(process.argv[1]).arbiter);
  await arbiter.open(false);
  const member = { host: 'a', process: 'a1' };
  const shadow = { host: 'b', process: 'b1' };
  for (let turn = 0; ; turn++) {
    const { epoch, generation } = arbiter.entry('v').record;
    const operation = turn % 2 ? { kind: 'goAlone' } : { kind: 'makeEligible', shadow };
    const claimId = process.pid + ':' + turn;
    const reply = await arbiter.ask({ vm: 'v', member, epoch, generation, claimId, operation });
    if (!process.stdout.write(JSON.stringify(reply) + '\\n')) {
      await new Promise((resolve) => process.stdout.once('drain', resolve));
    }
  }
`;

/** @returns the last reply that the child has sent before it was killed in the middle of things */
async function killInTheMiddle(directory: string, replies: number): Promise<Reply> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', asker, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  let last: Reply | undefined;
  let seen = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    // What a dying process had half written is no reply.
    if (!line.endsWith('}')) break;
    last = JSON.parse(line) as Reply;
    assert.ok(last.granted, line);
    seen++;
    if (seen === replies) child.kill('SIGKILL');
  }
  await gone;
  return last!;
}

test('kill -9 in the middle of asks loses no granted reply', async () => {
  const directory = newFolder();
  await (await withPair(directory)).store.close();
  let generation = 2;
  for (const replies of [1, 7, 40, 90]) {
    const last = await killInTheMiddle(directory, replies);
    const { store, arbiter } = await open(directory);
    assert.equal(arbiter.epoch, 1, 'a crash is no restored backup');
    const { record } = arbiter.entry('v')!;
    // One more may have been granted whose reply was never sent.
    assert.ok(record.generation >= last.record!.generation, 'a granted reply was forgotten');
    assert.ok(last.record!.generation > generation, 'nothing was tried');
    if (record.generation === last.record!.generation) assert.equal(record.claimId, last.claimId);
    generation = record.generation;
    await store.close();
  }
});
