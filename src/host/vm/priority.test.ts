import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { getPriority, setPriority } from 'node:os';
import test from 'node:test';
import { giveWay } from './priority.ts';

/** Whether this process may take niceness back. */
function mayTakeBack(): boolean {
  const child = spawn('sleep', ['60']);
  try {
    setPriority(child.pid!, 10);
    setPriority(child.pid!, 0);
    return true;
  } catch {
    return false;
  } finally {
    child.kill('SIGKILL');
  }
}

const options = { skip: mayTakeBack() ? false : 'needs CAP_SYS_NICE' };

test(
  'a shadow that is built gives way to its daemon, whose niceness is its operator’s',
  options,
  () => {
    const child = spawn('sleep', ['60']);
    try {
      giveWay(child.pid);
      assert.equal(getPriority(child.pid!), Math.min(getPriority() + 5, 19));
    } finally {
      child.kill('SIGKILL');
    }
  },
);

test('from when it replays it has the daemon’s own niceness again', options, () => {
  const program = `
    import { getPriority, setPriority } from 'node:os';
    import { takeTurn } from ${JSON.stringify(import.meta.resolve('./priority.ts'))};
    setPriority(process.pid, Math.min(getPriority() + 5, 19));
    takeTurn();
    console.log(getPriority());
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(stdout, `${getPriority()}\n`, stderr);
});
