/** Tasks over a real store: their states, progress, queues, cancellation, and a restart. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { UmbraError } from '../base/errors.ts';
import { Events } from './events.ts';
import { EmbeddedStore } from './store/embedded-store.ts';
import { type Task, Tasks } from './tasks.ts';

let folder: string;
let store: EmbeddedStore;
let events: Events;
let tasks: Tasks;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'umbra-tasks-'));
  open();
});
afterEach(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(): void {
  store = new EmbeddedStore(folder);
  events = new Events(store);
  tasks = new Tasks(store, events);
}

const wish = { kind: 'test', vm: 'web', by: 'vera' };
const ended = () =>
  events
    .list(0, 100)
    .filter(({ kind }) => kind === 'task-ended')
    .map(({ text }) => text);

/** A task that waits to be told. */
function pending() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let seen: Task | undefined;
  const act = (task: Task): Promise<string> => {
    seen = task;
    return promise;
  };
  return { act, resolve, reject, task: () => seen! };
}

test('a task begins at once, shows its progress, and keeps what came of it', async () => {
  const work = pending();
  const { id, done } = tasks.run(wish, work.act);
  assert.equal(tasks.show(id).state, 'running');
  work.task().progress(0.25, 'a quarter');
  work.task().progress(7);
  const { progress, message, started } = tasks.show(id);
  assert.deepEqual([progress, message], [1, 'a quarter']);
  assert.ok(started !== null);
  assert.equal('result' in tasks.show(id), false);
  work.task().result({ file: '/there' });
  work.task().result({ host: 'red' });
  work.resolve('result');
  assert.equal(await done, 'result');
  assert.equal(tasks.show(id).state, 'succeeded');
  assert.deepEqual(tasks.show(id).result, { file: '/there', host: 'red' });
  assert.deepEqual(ended(), ['test of web has succeeded']);
  work.task().progress(0.5);
  assert.equal(tasks.show(id).progress, 1, 'what has ended does not change');
});

test('a failure is told as a problem, and whoever waits gets the error', async () => {
  const error = new UmbraError('no-room', 'no host has room', 'Add one.');
  const { id, done } = tasks.run(wish, () => Promise.reject(error));
  await assert.rejects(done, error);
  assert.equal(tasks.show(id).error?.code, 'no-room');
  assert.equal(tasks.show(id).error?.remedy, 'Add one.');
  const bug = tasks.run(wish, () => Promise.reject(new Error('oops')));
  await assert.rejects(bug.done, /oops/);
  assert.equal(tasks.show(bug.id).error?.code, 'bug');
  assert.deepEqual(
    tasks.list({ state: 'failed', vm: 'web' }).map((task) => task.id),
    [id, bug.id],
  );
  assert.deepEqual(tasks.list({ vm: 'other' }), []);
  assert.throws(() => tasks.cancel(id, 'vera'), { code: 'task-ended' });
  assert.throws(() => tasks.show('task-none'), { code: 'task-unknown' });
});

test('a cancelled task has ended when it has, by its own error or that of a timer', async () => {
  const { id, done } = tasks.run(wish, (task) => sleep(60_000, 'late', { signal: task.signal }));
  assert.equal(tasks.cancel(id, 'otto').state, 'running');
  await assert.rejects(done, { code: 'task-cancelled' });
  assert.equal(tasks.show(id).state, 'cancelled');
  assert.match(ended()[0]!, /was cancelled: cancelled by otto/);
  // One that does not listen may succeed nevertheless.
  const deaf = pending();
  const other = tasks.run(wish, deaf.act);
  tasks.cancel(other.id, 'otto');
  deaf.resolve('done');
  await other.done;
  assert.equal(tasks.show(other.id).state, 'succeeded');
  const held = pending();
  const kept = tasks.run({ ...wish, isCancellable: false }, held.act);
  assert.throws(() => tasks.cancel(kept.id, 'otto'), { code: 'task-not-cancellable' });
  held.resolve('done');
  await kept.done;
});

test('tasks of one queue run one after the other, whatever came of the one before', async () => {
  const [first, second] = [pending(), pending()];
  const queued = { ...wish, after: 'web' };
  const a = tasks.run(queued, first.act);
  const b = tasks.run(queued, second.act);
  const c = tasks.run(queued, async () => 'c');
  const beside = tasks.run({ ...wish, after: 'other' }, async () => 'beside');
  assert.equal(await beside.done, 'beside');
  assert.equal(tasks.show(b.id).state, 'queued');
  tasks.cancel(c.id, 'otto');
  first.reject(new UmbraError('no-room', 'no host has room', ''));
  await assert.rejects(a.done, { code: 'no-room' });
  await sleep(0);
  assert.equal(tasks.show(b.id).state, 'running');
  second.resolve('b');
  assert.equal(await b.done, 'b');
  await assert.rejects(c.done, { code: 'task-cancelled' });
  assert.equal(tasks.show(c.id).started, null, 'it never ran');
});

test('what ran when the center ended has failed for the next one', async () => {
  const work = pending();
  const { id } = tasks.run(wish, work.act);
  tasks.resign();
  assert.ok(work.task().signal.aborted);
  work.reject(new Error('too late'));
  await sleep(0);
  store.close();
  open();
  assert.equal(tasks.show(id).state, 'running');
  tasks.recover();
  const { state, error, ended: endedAt } = tasks.show(id);
  assert.deepEqual([state, error?.code], ['failed', 'center-restarted']);
  assert.ok(endedAt !== null);
  assert.match(ended().at(-1)!, /has failed: the center was restarted/);
});
