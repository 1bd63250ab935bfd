/**
 * The devices against QEMU's, register by register.
 *
 * QEMU runs its `virt` machine with the harts stopped, and its test protocol (docs/devel/qtest) reads
 * and writes physical addresses and moves interrupt lines. The same random accesses go to our
 * devices; every value read and every line must agree. Where we differ by intent, the test says so
 * beside the act that would show it.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { Bus } from '../../src/devices/bus.ts';
import { Clint } from '../../src/devices/clint.ts';
import { Plic } from '../../src/devices/plic.ts';
import { Rtc } from '../../src/devices/rtc.ts';
import { Syscon } from '../../src/devices/syscon.ts';
import { restoreInto, saved, TestMachine } from '../../src/devices/testing.ts';
import { Uart } from '../../src/devices/uart.ts';
import { virtioSlot, virtMap } from '../../src/devices/virt-map.ts';
import { VirtioBlock } from '../../src/devices/virtio/block.ts';
import { EmptySlot } from '../../src/devices/virtio/mmio.ts';
import { VirtioNet } from '../../src/devices/virtio/net.ts';

const qemu = 'qemu-system-riscv64';
const options = [
  ...['-machine', 'virt', '-smp', '2', '-m', '16M', '-bios', 'none', '-S', '-display', 'none'],
  ...['-serial', 'null', '-rtc', 'base=2024-02-29T12:34:56,clock=vm'],
  ...['-global', 'virtio-mmio.force-legacy=false'],
  ...['-device', 'virtio-net-device,bus=virtio-mmio-bus.0,mac=52:54:00:12:34:56'],
  ...['-blockdev', 'driver=null-co,node-name=disk,size=1048576'],
  ...['-device', 'virtio-blk-device,bus=virtio-mmio-bus.1,drive=disk'],
];
const epochOffset = BigInt(Date.UTC(2024, 1, 29, 12, 34, 56)) * 1_000_000n;
/** QEMU's device tree promises 96 sources, but the last has no line there. */
const lastSource = 95;
const mac = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

const missing = spawnSync(qemu, ['--version']).error !== undefined;
const skip = missing && `${qemu} is not installed (Debian: qemu-system-misc)`;

/** Sends all commands, and returns the answer to each: what stands behind its OK. */
async function ask(commands: readonly string[]): Promise<string[]> {
  const child = spawn(
    qemu,
    [...options, '-monitor', 'none', '-qtest', 'stdio', '-qtest-log', '/dev/null'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  try {
    child.stdin.write(`${commands.join('\n')}\n`);
    const answers: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('IRQ ')) continue;
      assert.ok(line.startsWith('OK'), `${commands[answers.length]}: ${line}`);
      answers.push(line.slice(3));
      if (answers.length === commands.length) break;
    }
    return answers;
  } finally {
    child.kill();
  }
}

/** Where QEMU keeps its PLIC, whose input lines the test moves. */
let knownPlicPath: string | undefined;
function plicPath(): string {
  if (knownPlicPath !== undefined) return knownPlicPath;
  const { stdout } = spawnSync(qemu, [...options, '-monitor', 'stdio'], {
    input: 'info qom-tree\nquit\n',
    encoding: 'utf8',
  });
  const found = /\/(device\[\d+\]) \(riscv\.sifive\.plic\)/.exec(stdout);
  assert.ok(found, 'no PLIC in the object tree');
  knownPlicPath = `/machine/unattached/${found[1]}`;
  return knownPlicPath;
}

/** Our devices beside a transcript of what QEMU is to be asked, with the answers it must give. */
class Both {
  readonly machine = new TestMachine();
  readonly plic = new Plic(this.machine);
  readonly uart: Uart;
  readonly bus: Bus;
  readonly #levels = new Map<number, boolean>();
  readonly #commands: string[] = [];
  readonly #expected: ((answer: string, command: string) => void)[] = [];

  constructor() {
    const line = (source: number) => ({
      memory: this.machine.memory,
      now: () => this.machine.now(),
      emit: () => {},
      setInterrupt: (level: boolean) => {
        this.#levels.set(source, level);
        this.plic.setLevel(source, level);
      },
    });
    this.uart = new Uart(line(virtMap.uart.interrupt));
    const [net, disk, empty] = [virtioSlot(0), virtioSlot(1), virtioSlot(2)];
    this.bus = new Bus([
      { ...virtMap.syscon, device: new Syscon(this.machine) },
      { ...virtMap.rtc, device: new Rtc({ epochOffset }, line(virtMap.rtc.interrupt)) },
      { ...virtMap.clint, device: new Clint(this.machine, this.machine) },
      { ...virtMap.plic, device: this.plic },
      { ...virtMap.uart, device: this.uart },
      { ...net, device: new VirtioNet({ port: 0, mac }, line(net.interrupt)) },
      { ...disk, device: new VirtioBlock({ disk: 0, capacity: 2 ** 20 }, line(disk.interrupt)) },
      { ...empty, device: new EmptySlot() },
    ]);
  }

  /** Reads on both sides. @returns what ours says */
  read(address: number, size: 1 | 2 | 4 = 4, mask = 0xffff_ffff): number {
    const value = this.bus.read(address, size);
    assert.ok(value !== undefined, 'our bus faults');
    const index = this.#expected.length;
    const letter = { 1: 'b', 2: 'w', 4: 'l' }[size];
    this.send(`read${letter} ${address}`, (answer, command) => {
      const theirs = (Number(BigInt(answer)) & mask) >>> 0;
      const context = `${command}, command ${index}`;
      assert.equal((value & mask) >>> 0, theirs, `${context}: ours 0x${value.toString(16)}`);
    });
    return value;
  }

  write(address: number, value: number, size: 1 | 2 | 4 = 4): void {
    assert.ok(this.bus.write(address, size, value), 'our bus faults');
    this.send(`write${{ 1: 'b', 2: 'w', 4: 'l' }[size]} ${address} ${value}`);
  }

  write64(address: number, value: bigint): void {
    assert.ok(this.bus.write64(address, value), 'our bus faults');
    this.send(`writeq ${address} ${value}`);
  }

  /** Asks QEMU alone. */
  send(command: string, expect: (answer: string, command: string) => void = () => {}): void {
    this.#commands.push(command);
    this.#expected.push(expect);
  }

  async compare(): Promise<void> {
    const answers = await ask(this.#commands);
    assert.equal(answers.length, this.#commands.length);
    for (const [index, answer] of answers.entries()) {
      try {
        this.#expected[index]!(answer, this.#commands[index]!);
      } catch (error) {
        const before = this.#commands.slice(Math.max(0, index - 12), index + 1).join('\n');
        throw new Error(`after\n${before}`, { cause: error });
      }
    }
  }

  /** Lets the lines of the devices through to context 0. */
  enableLines(): void {
    const { base } = virtMap.plic;
    for (let source = 1; source <= 11; source++) this.write(base + 4 * source, 1);
    this.write(base + 0x2000, 0xffe);
  }

  /** Looks at what is pending, and serves one of it as a guest would. */
  checkLines(): void {
    const { base } = virtMap.plic;
    this.read(base + 0x1000);
    const source = this.read(base + 0x20_0004);
    if (source === 0) return;
    this.write(base + 0x20_0004, source);
    // QEMU does not look at a line that has stayed high; a device there would move it again.
    if (this.#levels.get(source)) this.send(`set_irq_in ${plicPath()} unnamed-gpio-in ${source} 1`);
  }
}

const seeds = [1, 2, 3, 4];

test('PLIC: random lines, registers, claims and completions', { skip }, async () => {
  const path = plicPath();
  const { base } = virtMap.plic;
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    const both = new Both();
    const levels = new Array<boolean>(lastSource + 1).fill(false);
    const claimed = new Uint32Array(3);
    const thresholds = [0, 0, 0, 0];
    const isClaimed = (source: number): boolean =>
      ((claimed[source >>> 5]! >>> (source & 31)) & 1) === 1;
    const move = (source: number, level: boolean): void => {
      levels[source] = level;
      both.plic.setLevel(source, level);
      both.send(`set_irq_in ${path} unnamed-gpio-in ${source} ${level ? 1 : 0}`);
    };
    for (let act = 0; act < 3_000; act++) {
      const source = random.between(12, lastSource); // Below are the lines of real devices.
      const context = random.below(4);
      const word = random.below(3);
      const contextBase = base + 0x20_0000 + 0x1000 * context;
      switch (random.below(10)) {
        case 0:
        case 1:
          // QEMU takes note of a line that rises during a claim, we look on completion.
          if (!isClaimed(source) || levels[source]) move(source, !levels[source]);
          break;
        case 2:
          both.write(base + 4 * source, random.u32());
          both.read(base + 4 * source);
          break;
        case 3: {
          const enable = base + 0x2000 + 0x80 * context + 4 * word;
          both.write(enable, random.u32());
          both.read(enable);
          // QEMU looks at the outputs again only when another register is written.
          both.send(`writel ${contextBase} ${thresholds[context]}`);
          break;
        }
        case 4:
          thresholds[context] = random.below(4);
          both.write(contextBase, thresholds[context]! + 8 * random.below(3));
          both.read(contextBase);
          break;
        case 5:
          both.read(base + 0x1000 + 4 * word);
          break;
        case 6:
        case 7: {
          const got = both.read(contextBase + 4);
          if (got !== 0) claimed[got >>> 5]! |= 1 << (got & 31);
          break;
        }
        default: {
          const claims = [...levels.keys()].filter(isClaimed);
          const done = random.pick([0, source, 200, ...claims, ...claims]);
          both.write(contextBase + 4, done);
          if (done > lastSource) break;
          claimed[done >>> 5]! &= ~(1 << (done & 31));
          // QEMU does not look at a line that has stayed high; devices there move it again.
          if (levels[done]) move(done, true);
        }
      }
    }
    await both.compare();
  }
});

test('PLIC: its outputs follow', { skip }, async () => {
  const path = plicPath();
  const { base } = virtMap.plic;
  const random = new SeededRandom(7);
  const both = new Both();
  for (let act = 0; act < 400; act++) {
    const source = random.between(12, lastSource);
    both.plic.setLevel(source, act % 3 !== 0);
    both.send(`set_irq_in ${path} unnamed-gpio-in ${source} ${act % 3 !== 0 ? 1 : 0}`);
    both.write(base + 4 * source, random.below(8));
    const context = random.below(4);
    const enable = base + 0x2000 + 0x80 * context + 4 * (source >>> 5);
    both.write(enable, random.u32());
    both.write(base + 0x20_0000 + 0x1000 * context, random.below(4));
    // A context's line is high exactly when a claim would find something.
    const { machine, supervisor } = both.machine.external;
    const lines = [machine[0], supervisor[0], machine[1], supervisor[1]];
    const line = lines[context];
    const found = both.read(base + 0x20_0004 + 0x1000 * context);
    assert.equal(found !== 0, line);
    if (found === 0) continue;
    both.plic.setLevel(found, false);
    both.send(`set_irq_in ${path} unnamed-gpio-in ${found} 0`);
    both.write(base + 0x20_0004 + 0x1000 * context, found);
  }
  await both.compare();
});

test('UART: random registers, in and out of loop-back', { skip }, async () => {
  const { base } = virtMap.uart;
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    const both = new Both();
    both.enableLines();
    /** Without the side effects of a read. */
    const peek = (register: number): number => {
      const copy = new Uart(new TestMachine());
      restoreInto(copy, saved(both.uart));
      return copy.read(register, 1);
    };
    for (let act = 0; act < 2_000; act++) {
      switch (random.below(8)) {
        case 0:
          both.write(base + 4, random.pick([0x10, 0x10, 0x1f, 0x0b]), 1);
          break;
        case 1: // The trigger level stays 1: QEMU's time stands still, and no timeout would come.
          both.write(base + 2, random.below(0x40), 1);
          break;
        case 2:
          both.write(base + 3, random.pick([0x03, 0x83, 0x1b]), 1);
          break;
        case 3:
          both.write(base + 1, random.below(256), 1);
          break;
        case 4:
        case 5:
          both.write(base, random.below(256), 1);
          break;
        case 6:
          both.write(base + 7, random.below(256), 1);
          break;
        default: {
          const register = random.below(8);
          // Without FIFOs, an empty register shows its last byte in QEMU, and 0 here.
          const empty = register === 0 && (peek(3) & 0x80) === 0 && (peek(5) & 1) === 0;
          both.read(base + register, 1, empty ? 0 : 0xff);
        }
      }
      both.checkLines();
    }
    await both.compare();
  }
});

test('CLINT: software interrupts and compare registers, by halves and whole', {
  skip,
}, async () => {
  const { base } = virtMap.clint;
  const random = new SeededRandom(5);
  const both = new Both();
  for (let act = 0; act < 500; act++) {
    const hart = random.below(2);
    const compare = base + 0x4000 + 8 * hart;
    const half = 4 * random.below(2);
    if (random.chance(0.3)) both.write(base + 4 * hart, random.u32());
    if (random.chance(0.3)) both.write(compare + half, random.u32());
    if (random.chance(0.3)) both.write64(compare, random.u64());
    both.read(base + 4 * hart);
    both.read(compare + half);
    both.read(base + 0xbff8 + half);
  }
  await both.compare();
});

test('RTC: time, alarms and their interrupt', { skip }, async () => {
  const { base } = virtMap.rtc;
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    const both = new Both();
    both.enableLines();
    for (let act = 0; act < 1_000; act++) {
      const register = base + 4 * random.below(9);
      if (random.chance(0.5))
        both.write(register, random.chance(0.5) ? random.u32() : random.below(2));
      else both.read(register);
      both.checkLines();
    }
    await both.compare();
  }
});

test('syscon: reads as nothing, ends the machine with a code', { skip }, async () => {
  const { base } = virtMap.syscon;
  const both = new Both();
  both.read(base);
  both.write(base, 0x1234);
  both.write(base + 4, 0x5555);
  await both.compare();
  assert.deepEqual(both.machine.outputs, []);
  for (const [value, action, code] of [
    [0x5555, 'off', 0],
    [0x0007_3333, 'failed', 7],
  ] as const) {
    const { status } = spawnSync(
      qemu,
      [...options, '-monitor', 'none', '-qtest', 'stdio', '-qtest-log', '/dev/null'],
      {
        input: `writel ${base} ${value}\n`,
      },
    );
    assert.equal(status, code);
    both.bus.write(base, 4, value);
    assert.deepEqual(both.machine.outputs.splice(0), [{ kind: 'power', action }]);
  }
});

test('virtio-mmio: identity, negotiation, queues and configuration', { skip }, async () => {
  for (const [slot, queues, configurationBytes] of [
    [0, 2, 8],
    [1, 1, 36],
    [2, 0, 0],
  ] as const) {
    const { base } = virtioSlot(slot);
    const random = new SeededRandom(slot);
    const both = new Both();
    both.enableLines();
    const handshake = (): void => {
      for (const status of [0, 1, 3]) both.write(base + 0x70, status);
      both.write(base + 0x24, 0);
      both.write(base + 0x20, 0);
      both.write(base + 0x24, 1);
      both.write(base + 0x20, 1);
      both.write(base + 0x70, 11);
      both.read(base + 0x70);
    };
    for (let act = 0; act < 300; act++) {
      if (act % 50 === 0) {
        handshake();
        if (act % 100 === 0) both.write(base + 0x70, 15);
      }
      switch (random.below(6)) {
        case 0:
          both.read(base + random.pick([0x00, 0x04, 0x08, 0x0c, 0x60, 0x70, 0xfc]));
          break;
        case 1: {
          // What we offer, QEMU offers too, but for VIRTIO_BLK_F_SIZE_MAX (1).
          const word = random.below(2);
          both.write(base + 0x14, word);
          const offered = both.bus.read(base + 0x10, 4)!;
          both.read(base + 0x10, 4, word === 0 ? offered & ~2 : offered);
          break;
        }
        case 2: {
          const queue = random.below(Math.max(queues, 1));
          both.write(base + 0x30, queue);
          both.read(base + 0x44);
          if (queues === 0) break;
          both.write(base + 0x38, 16);
          both.write(base + 0x80, 0x8000_0000 + 0x1000 * queue);
          both.write(base + 0x90, 0x8000_0400 + 0x1000 * queue);
          both.write(base + 0xa0, 0x8000_0600 + 0x1000 * queue);
          both.write(base + 0x44, 1);
          both.read(base + 0x44);
          break;
        }
        case 3:
          if (configurationBytes > 0) {
            const size = random.pick([1, 2, 4] as const);
            const at = random.below(configurationBytes / size) * size;
            // Of the disk's configuration, capacity and block size are the same; limits are ours.
            if (slot === 0 || at < 8 || (at >= 20 && at < 24)) both.read(base + 0x100 + at, size);
          }
          break;
        case 4:
          both.read(base + random.pick([0xb0, 0xb4]));
          break;
        default:
          both.read(base + random.pick([0x01, 0x70, 0x71]), 1);
      }
      both.checkLines();
    }
    await both.compare();
  }
});
