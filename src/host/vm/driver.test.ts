import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Shadow } from '../../lockstep/shadow.ts';
import { nowUs } from '../clock.ts';
import { Driver } from './driver.ts';

const never = Number.POSITIVE_INFINITY;

/** A copy at work for some milliseconds each time that it is called, and due again some later. */
function copyAtWork(work: number, rest: number, isShadow: boolean) {
  const copy = {
    steps: 0,
    rest,
    shadow: isShadow ? ({} as Shadow) : undefined,
    step: (): number => {
      copy.steps++;
      for (const end = nowUs() + work * 1000; nowUs() < end; );
      return nowUs() + copy.rest * 1000;
    },
  };
  return copy;
}

/** The share of a while in which the event loop slept. */
async function sleptWhile(ms: number): Promise<number> {
  const before = performance.eventLoopUtilization();
  await sleep(ms);
  return 1 - performance.eventLoopUtilization(before).utilization;
}

async function driven(copy: ReturnType<typeof copyAtWork>, act: (driver: Driver) => Promise<void>) {
  const driver = new Driver(copy, () => {});
  driver.wake();
  try {
    await act(driver);
  } finally {
    driver.stop();
  }
}

test('a shadow that works nearly always does not sleep out the rest; any other copy does', async () => {
  const slept = async (work: number, rest: number, isShadow: boolean): Promise<number> => {
    let share = Number.NaN;
    await driven(copyAtWork(work, rest, isShadow), async () => {
      await sleep(100);
      share = await sleptWhile(300);
    });
    return share;
  };
  assert.ok((await slept(18, 2, true)) < 0.02);
  assert.ok((await slept(18, 2, false)) > 0.05);
  assert.ok((await slept(2, 6, true)) > 0.3);
});

test('a shadow whose log says no more falls asleep, and wakes when something arrives', async () => {
  const copy = copyAtWork(20, 0, true);
  await driven(copy, async (driver) => {
    await sleep(200);
    copy.rest = never;
    await sleep(50);
    const { steps } = copy;
    assert.ok((await sleptWhile(100)) > 0.5);
    assert.equal(copy.steps, steps);
    driver.wake();
    await sleep(50);
    assert.equal(copy.steps, steps + 1);
  });
});

test('what arrives is dealt with at once by a shadow that stays awake, and by none that is stopped', async () => {
  const copy = copyAtWork(20, 0, true);
  await driven(copy, async (driver) => {
    await sleep(200);
    copy.rest = never;
    const { steps } = copy;
    // Behind the last step before, the loop comes round here first while it watches.
    while (copy.steps === steps) await new Promise((resolve) => setImmediate(resolve));
    const waiting = copy.steps;
    driver.wake();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(copy.steps, waiting + 1);
    driver.pause();
    driver.wake();
    assert.ok((await sleptWhile(50)) > 0.5);
    assert.equal(copy.steps, waiting + 1);
    driver.resume();
    await sleep(50);
    assert.equal(copy.steps, waiting + 2);
    driver.stop();
    driver.wake();
    await sleep(30);
    assert.equal(copy.steps, waiting + 2);
  });
});
