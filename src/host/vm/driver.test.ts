import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Shadow } from '../../lockstep/shadow.ts';
import { Driver } from './driver.ts';

const never = Number.POSITIVE_INFINITY;

/**
 * Node's event loop in a time of its own, in microseconds: what is due is called, and where nothing
 * is, the process sleeps until something will be. A look at the clock takes a microsecond.
 */
class EventLoop {
  micros = 0;
  sleptMicros = 0;
  #immediate: (() => void) | undefined;
  #timer: { readonly act: () => void; readonly at: number } | undefined;

  readonly now = (): number => this.micros++;

  constructor(t: TestContext) {
    t.mock.method(globalThis, 'setImmediate', (act: () => void) => {
      this.#waitsForNothing();
      this.#immediate = act;
      return 'immediate';
    });
    t.mock.method(globalThis, 'setTimeout', (act: () => void, ms: number) => {
      this.#waitsForNothing();
      this.#timer = { act, at: this.micros + ms * 1000 };
      return 'timer';
    });
    t.mock.method(globalThis, 'clearImmediate', (which: unknown) => {
      if (which !== undefined) this.#immediate = undefined;
    });
    t.mock.method(globalThis, 'clearTimeout', (which: unknown) => {
      if (which !== undefined) this.#timer = undefined;
    });
  }

  get sleeps(): boolean {
    return this.#immediate === undefined;
  }

  comeRound(): void {
    const act = this.#immediate;
    this.#immediate = undefined;
    act?.();
  }

  pass(ms: number): void {
    for (const end = this.micros + ms * 1000; this.micros < end; ) {
      if (this.sleeps) this.#sleepUntil(Math.min(end, this.#timer?.at ?? never));
      else this.comeRound();
    }
  }

  /** The share of a while in which it slept. */
  sleptWhile(ms: number): number {
    const [slept, began] = [this.sleptMicros, this.micros];
    this.pass(ms);
    return (this.sleptMicros - slept) / (this.micros - began);
  }

  #waitsForNothing(): void {
    const waits = this.#immediate !== undefined || this.#timer !== undefined;
    assert.ok(!waits, 'a driver waits for one thing at a time');
  }

  #sleepUntil(until: number): void {
    this.sleptMicros += until - this.micros;
    this.micros = until;
    const timer = this.#timer;
    if (timer === undefined || timer.at > until) return;
    this.#timer = undefined;
    timer.act();
  }
}

/** A copy at work for some milliseconds each time that it is called, and due again some later. */
function copyAtWork(t: TestContext, work: number, rest: number, isShadow: boolean) {
  const loop = new EventLoop(t);
  const copy = {
    steps: 0,
    rest,
    shadow: isShadow ? ({} as Shadow) : undefined,
    step: (): number => {
      copy.steps++;
      loop.micros += work * 1000;
      return loop.micros + copy.rest * 1000;
    },
  };
  const driver = new Driver(copy, () => {}, loop.now);
  driver.wake();
  return { copy, loop, driver };
}

for (const { who, work, rest, isShadow, sleeps } of [
  { who: 'a shadow that works nearly always', work: 18, rest: 2, isShadow: true, sleeps: 0 },
  { who: 'a primary that does', work: 18, rest: 2, isShadow: false, sleeps: 0.1 },
  {
    who: 'a shadow that works a quarter of its time',
    work: 2,
    rest: 6,
    isShadow: true,
    sleeps: 0.75,
  },
]) {
  test(`${who} sleeps for ${sleeps} of its time`, (t) => {
    const { loop } = copyAtWork(t, work, rest, isShadow);
    loop.pass(100);
    const slept = loop.sleptWhile(400);
    assert.ok(Math.abs(slept - sleeps) < 0.01, `${slept}`);
  });
}

test('a shadow whose log says no more falls asleep, and wakes when something arrives', (t) => {
  const { copy, loop, driver } = copyAtWork(t, 20, 0, true);
  loop.pass(200);
  copy.rest = never;
  loop.pass(50);
  const { steps } = copy;
  assert.equal(loop.sleptWhile(100), 1);
  assert.equal(copy.steps, steps);
  driver.wake();
  loop.pass(50);
  assert.equal(copy.steps, steps + 1);
});

test('what arrives is dealt with at once by a shadow that stays awake, and by none that is stopped', (t) => {
  const { copy, loop, driver } = copyAtWork(t, 20, 0, true);
  loop.pass(200);
  copy.rest = never;
  loop.pass(30);
  const { steps } = copy;
  assert.ok(!loop.sleeps);
  driver.wake();
  loop.comeRound();
  assert.equal(copy.steps, steps + 1);

  driver.pause();
  driver.wake();
  assert.equal(loop.sleptWhile(50), 1);
  assert.equal(copy.steps, steps + 1);

  driver.resume();
  loop.pass(50);
  assert.equal(copy.steps, steps + 2);

  driver.stop();
  driver.wake();
  loop.pass(30);
  assert.equal(copy.steps, steps + 2);
});
