/** A CPU that is busy with nothing: what that alone costs the other is the machine's part. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pin } from '../machine/pinning.ts';

export async function withBusyCpu<T>(cpu: number, act: () => Promise<T>): Promise<T> {
  const child = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
  const ended = new Promise((done) => child.once('exit', done));
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    await once(child, 'spawn');
    pin(child.pid!, cpu);
    return await act();
  } finally {
    if (kill()) await ended;
    process.removeListener('exit', kill);
  }
}
