/**
 * A VM of its own that computes on the CPU which a shadow is held to, or stands still. Two copies on
 * one machine share more than two hosts do (caches, and a physical core where its hypervisor says so):
 * this is what that costs, without protection.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import { imagesHome } from '../../tests/images/built-image.ts';
import { pin } from '../machine/pinning.ts';
import { umbraCommand } from '../machine/sides.ts';
import { compute } from './redis.ts';
import { bootMsMax, sleep } from './stage.ts';

/** More than any bench waits for. */
const withoutEnd = 1e12;

export interface Neighbour {
  /** It computes while something goes on. */
  during<T>(act: () => Promise<T>): Promise<T>;
}

/** Boots it, and ends it behind `act`; the recipe `redis`, which is built. */
export async function withNeighbour<T>(
  cpu: number,
  act: (neighbour: Neighbour) => Promise<T>,
): Promise<T> {
  const port = await freePort();
  const publish = `${port}:6379`;
  const { program, args } = umbraCommand('run', '--image', 'redis', '--publish', publish);
  const env = { ...process.env, UMBRA_HOME: imagesHome };
  const child = spawn(program, args, { stdio: 'ignore', env });
  const ended = once(child, 'exit');
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  try {
    for (const end = performance.now() + bootMsMax; !(await answersPing(port)); await sleep(50)) {
      if (performance.now() < end && child.exitCode === null) continue;
      throw new Error('umbra run --image redis does not answer: does it work by hand?');
    }
    pin(child.pid!, cpu);
    // Broken off at its end.
    compute(port, withoutEnd).catch(() => {});
    child.kill('SIGSTOP');
    return await act({
      during: async (what) => {
        child.kill('SIGCONT');
        try {
          return await what();
        } finally {
          child.kill('SIGSTOP');
        }
      },
    });
  } finally {
    if (kill()) await ended;
    process.removeListener('exit', kill);
  }
}
