/**
 * Machines for property tests: small guests in M-mode on the real board, driven by a script of
 * inputs at counts, with everything that must not show left to the caller: the engine, how runs
 * are sliced, where checkpoints are taken.
 */
import assert from 'node:assert/strict';
import type { SeededRandom } from '../../src/base/random.ts';
import { bareBoard } from '../../src/board/bare-board.fixture.ts';
import { type VirtMachineMaker, virtMachineMaker } from '../../src/board/virt.ts';
import {
  eagerEngine,
  makeWasmEngine,
  type WasmEngine,
  wasmEngine,
} from '../../src/engine/wasm-engine.ts';
import type { Input } from '../../src/machine/effects.ts';
import type { Engine, EngineMaker } from '../../src/machine/engine.ts';
import type { Machine, MachineMaker } from '../../src/machine/machine.ts';

export interface Guest {
  /** Lies at the start of RAM, where every hart starts in M-mode. */
  readonly image: Uint8Array;
  readonly hartCount?: number;
  readonly ramBytes?: number;
}

export function guestMaker(
  { image, ...shape }: Guest,
  makeEngine: EngineMaker = makeWasmEngine,
): VirtMachineMaker {
  return virtMachineMaker(bareBoard(image, shape), makeEngine);
}

/** An engine to which something is done ahead of every run. */
function interrupted(engine: WasmEngine, act: (engine: WasmEngine) => void): Engine {
  const run = engine.run.bind(engine);
  return Object.assign<Engine, Pick<Engine, 'run'>>(engine, {
    run(budget) {
      act(engine);
      return run(budget);
    },
  });
}

/** An engine that forgets as much as it may, whenever it may, and has next to no room for code. */
export function forgetfulEngine(random: SeededRandom, codePages: number): EngineMaker {
  const make = wasmEngine({});
  return (layout, host) =>
    interrupted(make({ ...layout, codePages }, host), (engine) => {
      if (random.chance(0.3)) engine.flushTranslations();
      if (random.chance(0.1)) engine.flushCode();
    });
}

/**
 * An engine that translates what a few jumps have landed on, with so little room that regions keep
 * being dropped; ahead of some runs everything that was translated goes.
 */
export function translatingEngine(random: SeededRandom): EngineMaker {
  const make = eagerEngine(random.between(1, 4), {
    codeBytesMax: random.pick([4_000, 40_000, 400_000]),
    codeBytesPerRun: random.pick([0, 4_000]),
    codeBytesPerModule: random.pick([0, 0, 4_000]),
  });
  return (layout, host) =>
    interrupted(make(layout, host), (engine) => {
      if (random.chance(0.02)) engine.dropRegions();
      if (random.chance(0.02)) engine.flushTranslations();
    });
}

/** An input, made from the machine's state at its count, so that it is the same on every machine. */
export interface Event {
  readonly count: bigint;
  readonly input?: (machine: Machine) => Input;
}

export interface Trace {
  /** One per event: the count at which it came and the fingerprint there. */
  readonly marks: readonly string[];
  readonly console: string;
  /** Every other output, with its count. */
  readonly others: readonly string[];
}

/** How far the next run may go. */
export type Slicer = (left: bigint) => bigint;
export const whole: Slicer = (left) => left;
export const sliced =
  (random: SeededRandom, longest: number): Slicer =>
  () =>
    BigInt(random.between(1, longest));

export interface DriveOptions {
  readonly slicer?: Slicer;
  /** Between runs; may put another machine in the place of this one. */
  readonly between?: (machine: Machine) => Machine;
}

/** Drives a machine through the events. One that is idle gets its next event at once. */
export function drive(
  start: Machine,
  events: readonly Event[],
  { slicer = whole, between }: DriveOptions = {},
): Trace & { readonly machine: Machine } {
  let machine = start;
  const marks: string[] = [];
  const others: string[] = [];
  let console = '';
  const collect = (): void => {
    for (const output of machine.takeOutputs()) {
      if (output.kind === 'console') console += Buffer.from(output.bytes).toString('latin1');
      else others.push(`${output.count} ${output.kind}`);
    }
  };
  for (const { count, input } of events) {
    let stop = 'budget';
    while (machine.count < count && stop === 'budget') {
      const left = count - machine.count;
      const slice = slicer(left);
      stop = machine.run(slice > left ? count : machine.count + slice);
      collect();
      if (between) machine = between(machine);
    }
    assert.ok(machine.count <= count || stop !== 'budget', 'a run went beyond its end');
    marks.push(`${machine.count} ${machine.time} ${machine.fingerprint().toString(16)}`);
    if (stop === 'off') break;
    if (input) machine.apply(input(machine));
    collect();
  }
  return { marks, console, others, machine };
}

/** Everything that must be equal. */
export const seen = ({ marks, console, others }: Trace): Trace => ({ marks, console, others });

/** Saves and restores through the whole format; `during` runs the original on between chunks. */
export function throughCheckpoint(
  maker: MachineMaker,
  machine: Machine,
  chunkBytes: number,
  during?: () => void,
): Machine {
  const checkpoint = machine.checkpoint();
  const restore = maker.restore();
  for (let chunk = checkpoint.next(chunkBytes); chunk; chunk = checkpoint.next(chunkBytes)) {
    restore.add(chunk);
    during?.();
  }
  return restore.finish();
}
