import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestWatchdog, type Verdict } from './guest-watchdog.ts';

const second = 1_000_000;

class Setting {
  readonly watchdog = new GuestWatchdog();
  now = 0;
  machine = {
    count: 0n,
    unservedTimer: undefined as { hart: number; deadline: bigint } | undefined,
  };

  constructor(seconds: number | undefined) {
    this.watchdog.seconds = seconds;
  }

  /** @returns what was said within so many seconds, but that it responds */
  pass(seconds: number, counts = 1_000n): Verdict[] {
    const said: Verdict[] = [];
    for (let second_ = 0; second_ < seconds; second_++) {
      this.now += second;
      this.machine = { ...this.machine, count: this.machine.count + counts };
      const verdict = this.watchdog.look(this.machine, this.now);
      if (verdict !== 'responds') said.push(verdict);
    }
    return said;
  }

  hang(deadline = 5n): void {
    this.machine = { ...this.machine, unservedTimer: { hart: 0, deadline } };
  }
}

test('a guest without a timer is left alone, whether it waits or computes', () => {
  const setting = new Setting(10);
  assert.deepEqual(setting.pass(1_000, 0n), []);
  assert.deepEqual(setting.pass(1_000), []);
});

test('a guest that arms its timer anew is well, however late it is each time', () => {
  const setting = new Setting(10);
  for (let deadline = 1n; deadline < 50n; deadline++) {
    setting.hang(deadline);
    assert.deepEqual(setting.pass(9), []);
  }
});

test('one that does not is reset, three times within an hour', () => {
  const setting = new Setting(10);
  setting.hang();
  assert.deepEqual(setting.pass(10), [], 'it takes one look to know');
  assert.deepEqual(setting.pass(1), ['reset']);
  assert.deepEqual(setting.pass(22), ['reset', 'reset']);
  assert.deepEqual(setting.pass(3_000), ['given-up']);
  setting.machine = { ...setting.machine, unservedTimer: undefined };
  setting.pass(1_000);
  setting.hang(9n);
  assert.deepEqual(setting.pass(11), ['reset'], 'that hour is over');
});

test('time in which the machine did not run does not count', () => {
  const setting = new Setting(10);
  setting.hang();
  assert.deepEqual(setting.pass(1_000, 0n), []);
  setting.pass(5);
  // The whole host stood still.
  setting.now += 3_600 * second;
  assert.deepEqual(setting.pass(1), []);
});

test('off is off', () => {
  const setting = new Setting(undefined);
  setting.hang();
  assert.deepEqual(setting.pass(1_000), []);
});
