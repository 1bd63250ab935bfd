/** The ways to run a guest in turmoil that must all come out the same; for tests and the soak. */
import assert from 'node:assert/strict';
import { SeededRandom } from '../../src/base/random.ts';
import { eagerEngine, makeInterpreter } from '../../src/engine/wasm-engine.ts';
import { hart, hartStateBytes } from '../../src/isa/hart-state.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { runningHart } from './difference.ts';
import {
  drive,
  type Event,
  forgetfulEngine,
  type Guest,
  guestMaker,
  seen,
  sliced,
  type Trace,
  throughCheckpoint,
  translatingEngine,
} from './machines.ts';
import { turmoil, turmoilEvents } from './turmoil.ts';

export interface Run {
  readonly guest: Guest;
  readonly events: readonly Event[];
  /** Some registers of the running hart, out of a saved state. */
  fields(state: Uint8Array): { privilege: number; scause: bigint; mcause: bigint };
}

export function scenario(seed: number, hartCount: number, events: number, gap: number): Run {
  return {
    guest: turmoil(new SeededRandom(seed), hartCount),
    events: turmoilEvents(new SeededRandom(seed, 1), events, gap),
    fields(state) {
      const at = runningHart(state);
      const view = new DataView(state.buffer, state.byteOffset + at, hartStateBytes);
      return {
        privilege: view.getUint32(hart.privilege.at, true),
        scause: view.getBigUint64(hart.scause.at, true),
        mcause: view.getBigUint64(hart.mcause.at, true),
      };
    },
  };
}

export const plain = ({ guest, events }: Run): Trace => drive(guestMaker(guest).powerOn(), events);

export const variants: Readonly<Record<string, (run: Run, random: SeededRandom) => Trace>> = {
  'runs cut anywhere': ({ guest, events }, random) =>
    drive(guestMaker(guest).powerOn(), events, { slicer: sliced(random, 9) }),

  'translations and code dropped at any time, room for two pages of code': (run, random) =>
    drive(guestMaker(run.guest, forgetfulEngine(random, 2)).powerOn(), run.events, {
      slicer: sliced(random, 60),
    }),

  'interpreted only': ({ guest, events }) =>
    drive(guestMaker(guest, makeInterpreter).powerOn(), events),

  'translated at the second landing, at once': ({ guest, events }) => {
    const eager = eagerEngine(1, { codeBytesPerModule: 0 });
    return drive(guestMaker(guest, eager).powerOn(), events);
  },

  'translated, dropped and translated again, runs cut anywhere': (run, random) =>
    drive(guestMaker(run.guest, translatingEngine(random)).powerOn(), run.events, {
      slicer: sliced(random, random.pick([20, 100, 1000])),
    }),

  'saved and restored anywhere, the restored machine goes on': (run, random) => {
    const maker = guestMaker(run.guest);
    const between = (machine: Machine): Machine =>
      random.chance(0.03)
        ? throughCheckpoint(maker, machine, 1 << random.between(10, 22))
        : machine;
    return drive(maker.powerOn(), run.events, { slicer: sliced(random, 400), between });
  },

  'saved while the machine runs on, which goes on; what was restored becomes the same': (
    run,
    random,
  ) => {
    const maker = guestMaker(run.guest);
    let copy: Machine | undefined;
    let chunks: ReturnType<Machine['checkpoint']> | undefined;
    const restore = maker.restore();
    const between = (machine: Machine): Machine => {
      if (chunks === undefined && copy === undefined && random.chance(0.1)) {
        chunks = machine.checkpoint();
      }
      const chunk = chunks?.next(6000);
      if (chunk) restore.add(chunk);
      else if (chunks) {
        copy = restore.finish();
        chunks = undefined;
      }
      return machine;
    };
    const trace = drive(maker.powerOn(), run.events, { slicer: sliced(random, 150), between });
    chunks?.cancel();
    if (copy) continueTo(run, copy, trace);
    return trace;
  },

  'fingerprints taken at other times too': (run, random) => {
    const between = (machine: Machine): Machine => {
      if (random.chance(0.2)) machine.fingerprint();
      return machine;
    };
    return drive(guestMaker(run.guest).powerOn(), run.events, {
      slicer: sliced(random, 50),
      between,
    });
  },
};

/** A copy from the middle of a run sees the rest of the events and the same marks. */
function continueTo({ events }: Run, copy: Machine, trace: Trace): void {
  // An idle machine has had events early: the marks say how many there were at its count.
  const counts = trace.marks.map((mark) => BigInt(mark.split(' ')[0]!));
  const done = counts.filter((count) => count < copy.count).length;
  if (counts[done] === copy.count) return; // between two events of one count: cannot tell which
  const rest = drive(copy, events.slice(done));
  assert.deepEqual(rest.marks, trace.marks.slice(done));
}

export function agree(seed: number, name: string, left: Trace, right: Trace): void {
  assert.deepEqual(seen(right), seen(left), `seed ${seed}: ${name}`);
}
