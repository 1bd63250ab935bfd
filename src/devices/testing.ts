/**
 * What the tests of this folder share: a machine as one device sees it, and the property that every
 * device must have, that a saved and restored one cannot be told from the original.
 */
import { assert } from '../base/assert.ts';
import { ByteReader, ByteWriter } from '../base/bytes.ts';
import { hash64 } from '../base/hash64.ts';
import { SeededRandom } from '../base/random.ts';
import type {
  Device,
  DeviceContext,
  DeviceOutput,
  GuestMemory,
  HartLines,
} from '../machine/device.ts';

export class TestMemory implements GuestMemory {
  readonly base: bigint;
  readonly bytes: Uint8Array;
  /** Stands for all that the device has written so far, in its order. */
  written = 0n;

  constructor(base = 0x8000_0000n, size = 0x1_0000) {
    this.base = base;
    this.bytes = new Uint8Array(size);
  }

  view(address: bigint, length: number): Uint8Array | undefined {
    const at = this.#place(address, length);
    return at === undefined ? undefined : this.bytes.subarray(at, at + length);
  }

  write(address: bigint, bytes: Uint8Array): boolean {
    const at = this.#place(address, bytes.length);
    if (at === undefined) return false;
    this.bytes.set(bytes, at);
    const step = new ByteWriter().u64(this.written).u64(address).raw(bytes).finish();
    this.written = hash64(step);
    return true;
  }

  #place(address: bigint, length: number): number | undefined {
    const at = address - this.base;
    if (at < 0n || at + BigInt(length) > BigInt(this.bytes.length)) return undefined;
    return Number(at);
  }
}

/** A machine around one device, whose every effect can be looked at. */
export class TestMachine implements DeviceContext, HartLines {
  readonly memory = new TestMemory();
  readonly hartCount = 2;
  time = 0n;
  interrupt = false;
  readonly outputs: DeviceOutput[] = [];
  readonly machineSoftware = [false, false];
  readonly external = { machine: [false, false], supervisor: [false, false] };
  readonly timeCompare = [0n, 0n];

  now(): bigint {
    return this.time;
  }

  setInterrupt(level: boolean): void {
    this.interrupt = level;
  }

  emit(output: DeviceOutput): void {
    this.outputs.push(output);
  }

  setMachineSoftware(hart: number, level: boolean): void {
    this.machineSoftware[hart] = level;
  }

  setExternal(hart: number, mode: 'machine' | 'supervisor', level: boolean): void {
    this.external[mode][hart] = level;
  }

  machineTimeCompare(hart: number): bigint {
    return this.timeCompare[hart]!;
  }

  setMachineTimeCompare(hart: number, value: bigint): void {
    this.timeCompare[hart] = value;
  }

  /** All that the outside can see of it; outputs are forgotten once described. */
  describe(): string {
    const outputs = JSON.stringify(this.outputs.splice(0), (_key, value) =>
      value instanceof Uint8Array ? [...value].join(' ') : value,
    );
    const lines = [this.interrupt, this.machineSoftware, this.external, this.timeCompare.join()];
    return `${JSON.stringify(lines)} ${outputs} ${this.memory.written}`;
  }
}

export function saved(device: Device): Uint8Array {
  const writer = new ByteWriter();
  device.save(writer);
  return writer.finish();
}

export function restoreInto(device: Device, bytes: Uint8Array): void {
  const reader = new ByteReader(bytes);
  device.restore(reader);
  reader.end();
}

export interface RandomRun<D extends Device, S> {
  readonly make: (machine: TestMachine) => D;
  /** Before the first act; what it returns (a driver, say) is handed to every act. */
  readonly prepare: (device: D, machine: TestMachine) => S;
  /** One random act of guest or world; returns what the guest saw of it. */
  readonly act: (device: D, random: SeededRandom, machine: TestMachine, state: S) => unknown;
  readonly acts: number;
}

/**
 * Runs the same random acts twice, the second time replacing the device again and again by a fresh
 * one restored from it, and compares everything that can be seen after each act.
 */
export function assertRestoredRunsAlike<D extends Device, S>(
  run: RandomRun<D, S>,
  seed: number,
): void {
  const trace = (replaceChance: number): string[] => {
    const random = new SeededRandom(seed);
    const choice = new SeededRandom(seed, 1);
    const machine = new TestMachine();
    let device = run.make(machine);
    const state = run.prepare(device, machine);
    const seen: string[] = [];
    for (let act = 0; act < run.acts; act++) {
      if (choice.chance(replaceChance)) {
        const bytes = saved(device);
        const lines = machine.describe();
        device = run.make(machine);
        restoreInto(device, bytes);
        assert(hash64(saved(device)) === hash64(bytes), 'restoring and saving changes the bytes');
        assert(
          machine.describe() === `${lines.split(' ')[0]} [] ${lines.split(' ').at(-1)}`,
          'restoring has an effect',
        );
      }
      const result = run.act(device, random, machine, state);
      seen.push(`${act}: ${String(result)} ${machine.describe()}`);
    }
    seen.push(`${hash64(saved(device))}`);
    return seen;
  };
  const plain = trace(0);
  const restored = trace(0.2);
  const different = plain.findIndex((line, index) => line !== restored[index]);
  assert(different < 0, `seed ${seed}: ${plain[different]}\nrestored: ${restored[different]}`);
}
