/** Waiting for a task of a real center: what it has become, or why it has failed, as it is told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { UmbraError } from '../base/errors.ts';
import { InProcessCenter } from '../center/in-process.fixture.ts';
import type { Task } from '../center/tasks.ts';
import { waitForTask } from './wait.ts';

let center: InProcessCenter;
before(async () => {
  center = await InProcessCenter.start();
});
after(() => center.close());

/** A task that ends when the test says so, and the wait for it. */
function begin() {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let own: Task | undefined;
  const { tasks } = center.center.cluster;
  const { id, done } = tasks.run({ kind: 'export-vm', vm: 'web', by: 'otto' }, async (task) => {
    own = task;
    task.signal.addEventListener('abort', () => reject(task.signal.reason));
    await promise;
  });
  done.catch(() => {});
  const waited = waitForTask(center.client(), tasks.show(id));
  waited.catch(() => {});
  return { id, waited, resolve, reject, task: own! };
}

test('what has come of it', async () => {
  const { waited, resolve, task } = begin();
  task.progress(0.5, '1M of 2M');
  task.result({ file: '/there' });
  resolve();
  const { state, progress, result } = await waited;
  assert.deepEqual([state, progress, result], ['succeeded', 1, { file: '/there' }]);
});

test('why it has failed, in its own words', async () => {
  const error = new UmbraError('no-room-on-host', 'It is full.', 'Free some space.');
  const failing = begin();
  failing.reject(error);
  await assert.rejects(failing.waited, error);
  const cancelled = begin();
  const params = { task: cancelled.id };
  await center.client().call('cancelTask', { params });
  await assert.rejects(cancelled.waited, { code: 'task-cancelled' });
});
