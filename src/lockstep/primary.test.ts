import assert from 'node:assert/strict';
import test from 'node:test';
import { boardOf } from '../board/bare-board.fixture.ts';
import { WrappedMachine } from '../host/local/wrapped-machine.ts';
import { assemble } from '../isa/assemble.ts';
import type { FrameOutput, Input, Output } from '../machine/effects.ts';
import type { EndsAt, Machine, Stop } from '../machine/machine.ts';
import { HostClock } from './clock.ts';
import type { Ports } from './ports.ts';
import { Primary } from './primary.ts';
import { timing } from './timing.ts';

/** Its firmware writes to the test finisher at once. */
const switchesItselfOff = (): Machine =>
  boardOf([
    assemble('lui', { rd: 5, imm: 0x10_0000 }),
    assemble('lui', { rd: 6, imm: 0x5000 }),
    assemble('addi', { rd: 6, rs1: 6, imm: 0x555 }),
    assemble('sw', { rs1: 5, rs2: 6 }),
  ]);

/** Its firmware sends a byte to the UART; then it waits for ever, or sends the next. */
const speaks = (then: 'waits' | 'goes on'): Machine =>
  boardOf([
    assemble('lui', { rd: 5, imm: 0x1000_0000 }),
    assemble('sb', { rs1: 5, rs2: 5 }),
    then === 'waits' ? assemble('wfi', {}) : assemble('jal', { rd: 0, imm: -4 }),
    assemble('jal', { rd: 0, imm: -4 }),
  ]);

const options = {
  vm: 'vm',
  member: { host: 'a', process: '1' },
  configuration: new Uint8Array(),
  disks: [],
};

function portsAt(now: () => number, send: (output: Output) => void): Ports {
  return {
    clock: { now },
    disks: { submit: () => assert.fail('there is no disk') },
    outputs: { send, suppressed: () => {}, announce: () => {} },
    arbiter: undefined,
    entropy: (length) => new Uint8Array(length),
    blockHash: (bytes) => bytes,
    report: () => {},
  };
}

test('a machine that is off when its copy goes live, long after its last clock sample, ends', () => {
  const machine = switchesItselfOff();
  assert.equal(machine.run(100n), 'off');
  machine.takeOutputs();
  let now = 0;
  const sent: Output[] = [];
  const ports = portsAt(
    () => now,
    (output) => sent.push(output),
  );
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  now = 1_000_000;
  for (let step = 0; step < 3 && primary.ended === undefined; step++) primary.step();
  assert.equal(primary.ended?.kind, 'off');
  assert.equal(machine.count, 4n);
  assert.deepEqual(sent, []);
});

/** A guest that a frame wakes: it acknowledges, answers, says one thing more, and waits. */
class Answering extends WrappedMachine {
  #toSay: string[] = [];
  #outputs: Output[] = [];

  override apply(input: Input): void {
    if (input.kind === 'frame') this.#toSay.push('acknowledgement', 'answer', 'more');
  }

  run(_until: bigint, endsAt?: EndsAt): Stop {
    for (let said = this.#toSay.shift(); said !== undefined; said = this.#toSay.shift()) {
      const frame = Buffer.from(said);
      this.#outputs.push({ kind: 'frame', port: 0, frame, segmentBytes: 0, count: this.count });
      if (endsAt?.(frame)) return 'frame';
    }
    return 'idle';
  }

  override takeOutputs(): Output[] {
    return this.#outputs.splice(0);
  }
}

test('the answer of a guest that a frame has woken leaves before the guest goes on', () => {
  let sent: string[] = [];
  const outputs = {
    send: (output: Output) => sent.push(Buffer.from((output as FrameOutput).frame).toString()),
    isAwaited: (frame: Uint8Array) => Buffer.from(frame).toString() !== 'acknowledgement',
    suppressed: () => {},
    announce: () => {},
  };
  const ports = { ...portsAt(() => 0, outputs.send), outputs };
  const machine = new Answering(speaks('waits'));
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  primary.step();
  for (let request = 0; request < 2; request++) {
    sent = [];
    primary.frame(0, Uint8Array.of(1));
    assert.ok(primary.step() <= 0, 'it goes on at once');
    assert.deepEqual(sent, ['acknowledgement', 'answer']);
    assert.ok(primary.step() > 0, 'and waits');
    assert.deepEqual(sent, ['acknowledgement', 'answer', 'more']);
  }
  // What comes while it works is answered by and by: its answers leave together.
  primary.frame(0, Uint8Array.of(1));
  primary.step();
  sent = [];
  primary.frame(0, Uint8Array.of(1));
  assert.ok(primary.step() > 0);
  assert.deepEqual(sent, ['more', 'acknowledgement', 'answer', 'more']);
});

for (const then of ['waits', 'goes on'] as const) {
  test(`held outputs of a machine that ${then} are sealed ${then === 'waits' ? 'at once' : 'together'}`, () => {
    let now = 0;
    const sealedAt: number[] = [];
    const ports = {
      ...portsAt(
        () => now,
        () => assert.fail('nobody has acknowledged it'),
      ),
      recording: () => sealedAt.push(now),
    };
    const primary = new Primary(options, ports, speaks(then), 1, new HostClock(0n, 0), undefined);
    primary.gate.close();
    for (now = 100; now < 2_000; now += 100) {
      const next = primary.step();
      if (primary.gate.unsealed > 0) assert.ok(next <= (sealedAt.at(-1) ?? 0) + timing.sealMicros);
    }
    const [first, second] = sealedAt;
    if (then === 'waits') assert.deepEqual(sealedAt, [100]);
    else assert.deepEqual([first, second], [timing.sealMicros, 2 * timing.sealMicros]);
  });
}

/** A guest that goes on for ever, and sends a frame of one byte when it is told to. */
class Talking extends WrappedMachine {
  says: number | undefined;

  override run(until: bigint): Stop {
    return this.machine.run(until);
  }

  override takeOutputs(): Output[] {
    if (this.says === undefined) return [];
    const frame = Uint8Array.of(this.says);
    this.says = undefined;
    return [{ kind: 'frame', port: 0, frame, segmentBytes: 0, count: this.count }];
  }
}

test('what nobody waits for is sealed with what is said next, or a millisecond later', () => {
  let now = 0;
  const sealedAt: number[] = [];
  const outputs = {
    send: () => assert.fail('nobody has acknowledged it'),
    isAwaited: (frame: Uint8Array) => frame[0] !== 0,
    suppressed: () => {},
    announce: () => {},
  };
  const ports = {
    ...portsAt(() => now, outputs.send),
    outputs,
    recording: () => sealedAt.push(now),
  };
  const machine = new Talking(boardOf([assemble('jal', { rd: 0, imm: 0 })]));
  const primary = new Primary(options, ports, machine, 1, new HostClock(0n, 0), undefined);
  primary.gate.close();
  const says = new Map([
    ...[5_000, 5_900, 10_000, 20_100].map((at) => [at, 0] as const),
    ...[10_300, 20_000].map((at) => [at, 1] as const),
  ]);
  for (now = 100; now < 25_000; now += 100) {
    machine.says = says.get(now);
    const next = primary.step();
    if (primary.gate.unsealed > 0) assert.ok(next <= now + timing.companyMicros);
  }
  const company = 5_000 + timing.companyMicros;
  assert.deepEqual(sealedAt, [company, 10_300, 20_000, 20_100 + timing.companyMicros]);
});

/** A guest that has made two requests, was reset, and has made another to the same place. */
class Inherited extends WrappedMachine {
  readonly ends: Input[] = [];
  #pending = [0, 1, 2].map((request) => ({
    ...{ disk: 0, request, action: 'write' as const, offset: 0, length: 512 },
    data: new Uint8Array(512).fill(request),
  }));

  override run(until: bigint): Stop {
    return this.machine.run(until);
  }

  override pendingDiskRequests() {
    return this.#pending;
  }

  override awaitsDiskRequest(_disk: number, request: number) {
    return request === 2;
  }

  override apply(input: Input): void {
    if (input.kind !== 'disk') return this.machine.apply(input);
    this.ends.push(input);
    this.#pending = this.#pending.filter(({ request }) => request !== input.request);
  }
}

test('who goes on carries out what the guest waits for, and only ends what is from before a reset', () => {
  const machine = new Inherited(boardOf([assemble('jal', { rd: 0, imm: 0 })]));
  const submitted: number[] = [];
  const ports = {
    ...portsAt(
      () => 100,
      () => {},
    ),
    disks: {
      submit: (_origin: unknown, { request }: { request: number }) => submitted.push(request),
    },
  };
  const disks = [{ length: 512, shared: true }];
  const primary = new Primary(
    { ...options, disks },
    ports,
    machine,
    1,
    new HostClock(0n, 0),
    undefined,
  );
  primary.step();
  assert.deepEqual(submitted, [2]);
  const ended = { kind: 'disk', disk: 0, ok: false, data: new Uint8Array() } as const;
  assert.deepEqual(
    machine.ends,
    [0, 1].map((request) => ({ ...ended, request })),
  );
});
