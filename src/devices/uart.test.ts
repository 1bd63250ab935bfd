import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { assertRestoredRunsAlike, TestMachine } from './testing.ts';
import { Uart, uartBacklogBytesMax } from './uart.ts';

function make(): { machine: TestMachine; uart: Uart } {
  const machine = new TestMachine();
  return { machine, uart: new Uart(machine) };
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

test('each byte written is an output at once, and the transmitter is empty again', () => {
  const { machine, uart } = make();
  uart.write(0, 1, 0x41);
  assert.deepEqual(machine.outputs, [{ kind: 'console', bytes: Uint8Array.of(0x41) }]);
  assert.equal(uart.read(5, 1), 0x60);
});

test('a paste flows through the FIFO without loss', () => {
  const { machine, uart } = make();
  uart.write(2, 1, 0x07);
  uart.write(1, 1, 0x01);
  const paste = ascii('all that was typed arrives '.repeat(40));
  uart.receive(paste);
  const got: number[] = [];
  while (uart.read(5, 1) & 1) {
    assert.ok(machine.interrupt);
    got.push(uart.read(0, 1));
  }
  assert.deepEqual(got, [...paste]);
  assert.equal(machine.interrupt, false);
});

test('a full backlog drops what is newest and reports an overrun', () => {
  const { uart } = make();
  uart.receive(new Uint8Array(uartBacklogBytesMax + 1));
  assert.equal(uart.read(5, 1), 0x63);
  assert.equal(uart.read(5, 1), 0x61);
});

test('the trigger level tells received data from a timeout', () => {
  const { uart } = make();
  uart.write(2, 1, 0x81); // 8 bytes
  uart.write(1, 1, 0x01);
  uart.receive(ascii('1234567'));
  assert.equal(uart.read(2, 1), 0xcc);
  uart.receive(ascii('8'));
  assert.equal(uart.read(2, 1), 0xc4);
});

test('the transmitter interrupt is raised by enabling it and acknowledged by reading IIR', () => {
  const { machine, uart } = make();
  uart.write(1, 1, 0x02);
  assert.ok(machine.interrupt);
  assert.equal(uart.read(2, 1), 0x02);
  assert.equal(uart.read(2, 1), 0x01);
  assert.equal(machine.interrupt, false);
  uart.write(0, 1, 0x20);
  assert.ok(machine.interrupt);
});

test('the divisor hides behind DLAB', () => {
  const { machine, uart } = make();
  uart.write(3, 1, 0x83);
  uart.write(0, 1, 0x34);
  uart.write(1, 1, 0x12);
  assert.deepEqual([uart.read(0, 1), uart.read(1, 1)], [0x34, 0x12]);
  uart.write(3, 1, 0x03);
  assert.deepEqual([uart.read(0, 1), uart.read(1, 1)], [0, 0]);
  assert.equal(machine.outputs.length, 0);
});

test('a restored UART cannot be told from the original', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) =>
      assertRestoredRunsAlike(
        {
          make: (machine) => new Uart(machine),
          prepare: () => {},
          acts: 150,
          act: (uart, random) => {
            const choice = random.below(10);
            if (choice === 0) return uart.receive(random.bytes(random.below(40)));
            if (choice === 1 && random.chance(0.05)) return uart.reset();
            const offset = random.below(9);
            return choice < 6 ? uart.read(offset, 1) : uart.write(offset, 1, random.below(256));
          },
        },
        seed,
      ),
    ),
    { numRuns: 50 },
  );
});
