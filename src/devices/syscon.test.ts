import assert from 'node:assert/strict';
import test from 'node:test';
import { Syscon } from './syscon.ts';
import { TestMachine } from './testing.ts';

test('each finisher word is a power output, anything else nothing', () => {
  const machine = new TestMachine();
  const syscon = new Syscon(machine);
  for (const value of [0x5555, 0x7777, 0x0007_3333, 0x1234, 0]) syscon.write(0, 4, value);
  syscon.write(4, 4, 0x5555);
  assert.deepEqual(machine.outputs, [
    { kind: 'power', action: 'off' },
    { kind: 'power', action: 'reset' },
    { kind: 'power', action: 'failed' },
  ]);
  assert.equal(syscon.read(0, 4), 0);
});
