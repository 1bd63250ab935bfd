/**
 * One hart of Umbra's engine in plain RAM, without a board: enough for the images of execute.ts and
 * for guests that need no interrupt. Of the devices there are the test finisher and a UART that
 * only prints.
 *
 * The hart is as power-on leaves it: M-mode, everything else zero, the first byte of RAM next.
 */
import assert from 'node:assert/strict';
import { hostEngine } from '../../src/host/engine.ts';
import { hart, status } from '../../src/isa/hart-state.ts';
import type { Engine, EngineHost, EngineMaker } from '../../src/machine/engine.ts';
import { layoutFor, ramBase, run, stopReason } from '../../src/machine/layout.ts';
import { type Case, imageOf, type Result } from './execute.ts';

const testFinisher = 0x10_0000n;
const finishPass = 0x5555n;
const uart = 0x1000_0000n;
const transmitterEmpty = 0x60n;
const sliceMax = 10_000_000;

export interface BareEngine {
  readonly engine: Engine;
  readonly ram: Uint8Array<ArrayBuffer>;
  /**
   * Runs until the guest powers off, at most `limit` instructions, `slice` at a time.
   * @returns what it printed, and the instructions and traps that it took
   */
  run(limit: number, slice?: number): { output: string; count: number };
}

export function bareEngine(megabytes: number, makeEngine: EngineMaker = hostEngine()): BareEngine {
  let off = false;
  let output = '';
  const host: EngineHost = {
    deviceLoad: (physical) => (physical === uart + 5n ? transmitterEmpty : undefined),
    deviceStore(physical, _bytes, value) {
      if (physical === uart) output += String.fromCharCode(Number(value & 0xffn));
      else if (physical === testFinisher && value === finishPass) {
        off = true;
        const stop = view.getUint32(run.stopRequest.at, true);
        view.setUint32(run.stopRequest.at, stop | stopReason.event, true);
      } else return false;
      return true;
    },
    preservePage: () => assert.fail('no checkpoint is under way'),
    breakpointHere: () => false,
    dataAccessed: () => false,
  };
  const layout = layoutFor(megabytes * 2 ** 20);
  const engine = makeEngine(layout, host);
  const view = new DataView(engine.memory.buffer);
  view.setBigUint64(hart.pc.at, BigInt(ramBase), true);
  view.setBigUint64(hart.mstatus.at, status.UXL | status.SXL, true);
  view.setBigUint64(hart.reservation.at, 2n ** 64n - 1n, true);
  view.setBigUint64(hart.stimecmp.at, 2n ** 64n - 1n, true);
  view.setBigUint64(hart.mtimecmp.at, 2n ** 64n - 1n, true);
  view.setUint32(hart.privilege.at, 3, true);
  return {
    engine,
    ram: engine.memory.subarray(layout.ramAt, layout.ramAt + layout.ramBytes),
    run(limit, slice = sliceMax) {
      let count = 0;
      while (!off) {
        assert.ok(count < limit, `still running after ${limit} instructions:\n${output}`);
        view.setBigUint64(run.end.at, BigInt(count + slice), true);
        count += slice - engine.run(slice);
      }
      return { output, count };
    },
  };
}

/** The twin of `qemuExecute`. */
export function engineExecute(cases: readonly Case[], makeEngine: EngineMaker): Result[] {
  const image = imageOf(cases);
  const { ram, run } = bareEngine(image.megabytes, makeEngine);
  for (const { offset, bytes } of image.chunks) ram.set(bytes, offset);
  run(cases.length * 1000 + 1000);
  return image.results(ram.slice(image.resultsOffset, image.resultsOffset + image.resultsBytes));
}
