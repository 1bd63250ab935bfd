/**
 * QEMU's `virt` machine as the devices' oracle: its harts stopped, its devices spoken to through the
 * test protocol (QEMU's docs/devel/qtest), which reads and writes physical addresses and moves
 * interrupt lines.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Bus } from '../../src/devices/bus.ts';
import { Clint } from '../../src/devices/clint.ts';
import { Plic } from '../../src/devices/plic.ts';
import { Rtc } from '../../src/devices/rtc.ts';
import { Syscon } from '../../src/devices/syscon.ts';
import { TestMachine } from '../../src/devices/testing.ts';
import { Uart } from '../../src/devices/uart.ts';
import { virtioSlot, virtMap } from '../../src/devices/virt-map.ts';
import { VirtioBlock } from '../../src/devices/virtio/block.ts';
import { EmptySlot } from '../../src/devices/virtio/mmio.ts';
import { VirtioNet } from '../../src/devices/virtio/net.ts';

export const qemu = 'qemu-system-riscv64';
/** Of full length: QEMU does not pad a shorter one as the standard asks. */
export const serial = '0123456789abcdefghij';
export const options = [
  ...['-machine', 'virt', '-smp', '2', '-m', '16M', '-bios', 'none', '-S', '-display', 'none'],
  ...['-serial', 'null', '-rtc', 'base=2024-02-29T12:34:56,clock=vm'],
  ...['-global', 'virtio-mmio.force-legacy=false'],
  ...['-device', 'virtio-net-device,bus=virtio-mmio-bus.0,mac=52:54:00:12:34:56'],
  ...['-blockdev', 'driver=null-co,node-name=disk,size=1048576,read-zeroes=on'],
  ...['-device', `virtio-blk-device,bus=virtio-mmio-bus.1,drive=disk,serial=${serial}`],
];
export const protocol = ['-monitor', 'none', '-qtest', 'stdio', '-qtest-log', '/dev/null'];
const epochOffset = BigInt(Date.UTC(2024, 1, 29, 12, 34, 56)) * 1_000_000n;
/** QEMU's device tree promises 96 sources, but the last has no line there. */
export const lastSource = 95;
const mac = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

const missing = spawnSync(qemu, ['--version']).error !== undefined;
export const skip = missing && `${qemu} is not installed (Debian: qemu-system-misc)`;

/** QEMU under its test protocol: one line a command, one line an answer. */
export class Session {
  readonly #child = spawn(qemu, [...options, ...protocol], { stdio: ['pipe', 'pipe', 'inherit'] });
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();

  /** Sends all commands, and returns the answer to each: what stands behind its OK. */
  async ask(commands: readonly string[]): Promise<string[]> {
    this.#child.stdin.write(`${commands.join('\n')}\n`);
    const answers: string[] = [];
    while (answers.length < commands.length) {
      const line = await this.#lines.next();
      const command = commands[answers.length];
      assert.ok(!line.done && line.value.startsWith('OK'), `${command}: ${line.value}`);
      answers.push(line.value.slice(3));
    }
    return answers;
  }

  close(): void {
    this.#child.kill();
  }
}

/** Where QEMU keeps its PLIC, whose input lines the tests move; asked through its monitor. */
async function findPlic(): Promise<string> {
  const child = spawn(qemu, [...options, '-qmp', 'stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const path = '/machine/unattached';
  child.stdin.write('{"execute":"qmp_capabilities"}\n');
  child.stdin.write(`{"execute":"qom-list","arguments":{"path":"${path}"}}\n`);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const found = /"name": "(device\[\d+\])", "type": "child<riscv\.sifive\.plic>"/.exec(line);
      if (found) return `${path}/${found[1]}`;
    }
    throw new Error('no PLIC in the object tree');
  } finally {
    child.kill();
  }
}
export const plicPath = skip ? '' : await findPlic();

/** Our devices beside a transcript of what QEMU is to be asked, with the answers it must give. */
export class Both {
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
    const session = new Session();
    const answers = await session.ask(this.#commands).finally(() => session.close());
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
    if (this.#levels.get(source)) this.send(`set_irq_in ${plicPath} unnamed-gpio-in ${source} 1`);
  }
}
