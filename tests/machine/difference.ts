/**
 * Where two machines that should be equal part: both are driven through the same events, one count
 * at a time from the last event at which they agreed, and the first fields that differ are named.
 */

import { hart, hartStateBytes } from '../../src/isa/hart-state.ts';
import { ramBase } from '../../src/machine/layout.ts';
import type { Machine, MachineMaker } from '../../src/machine/machine.ts';
import { disassembled } from './disassemble.ts';
import { drive, type Event } from './machines.ts';

/** Ahead of the harts in the saved state: see RiscvMachine. */
const headBytes = 69;

/** Where the running hart is in the saved state. */
export const runningHart = (state: Uint8Array): number => headBytes + state[20]! * hartStateBytes;

/** All of the state but RAM. */
export function savedState(machine: Machine): Uint8Array {
  const checkpoint = machine.checkpoint();
  const state = checkpoint.next(1)!;
  checkpoint.cancel();
  return state;
}

interface State {
  readonly state: Uint8Array;
  readonly ram: Uint8Array;
}

function stateOf(machine: Machine, ramBytes: number): State {
  const checkpoint = machine.checkpoint();
  const state = checkpoint.next(1 << 20)!;
  const ram = new Uint8Array(ramBytes);
  for (let chunk = checkpoint.next(1 << 20); chunk; chunk = checkpoint.next(1 << 20)) {
    let at = 0;
    while (at < chunk.length) {
      let page = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = chunk[at++]!;
        page |= (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      ram.set(chunk.subarray(at, at + 4096), page * 4096);
      at += 4096;
    }
  }
  return { state, ram };
}

function fieldAt(offset: number): string {
  const at = offset - headBytes;
  if (at < 0) return `head + ${offset}`;
  const within = at % hartStateBytes;
  const index = Math.floor(at / hartStateBytes);
  if (within < 256) return `hart ${index} x${within >> 3}`;
  if (within >= 272 && within < 528) return `hart ${index} f${(within - 272) >> 3}`;
  const named = Object.entries(hart).findLast(([, field]) => field.at <= within);
  return `hart ${index}+${within} ${named?.[0]} (or behind it), or a device`;
}

function compare(a: State, b: State): string[] {
  const lines: string[] = [];
  const seen = new Set<string>();
  for (let at = 0; at < Math.max(a.state.length, b.state.length) && lines.length < 12; at++) {
    if (a.state[at] === b.state[at] || seen.has(fieldAt(at))) continue;
    seen.add(fieldAt(at));
    const hex = (bytes: Uint8Array): string =>
      Buffer.from(bytes.slice(at, at + 8))
        .reverse()
        .toString('hex');
    lines.push(`${fieldAt(at)}: ${hex(a.state)} and ${hex(b.state)}`);
  }
  for (let at = 0; at < a.ram.length && lines.length < 16; at += 8) {
    const hex = (bytes: Uint8Array): string =>
      Buffer.from(bytes.slice(at, at + 8))
        .reverse()
        .toString('hex');
    if (hex(a.ram) !== hex(b.ram)) {
      lines.push(`RAM ${(ramBase + at).toString(16)}: ${hex(a.ram)} and ${hex(b.ram)}`);
    }
  }
  return lines;
}

/** @returns a report, or undefined if stepping shows no difference */
export function firstDifference(
  left: MachineMaker,
  right: MachineMaker,
  events: readonly Event[],
  ramBytes: number,
): string | undefined {
  const a = left.powerOn();
  const b = right.powerOn();
  const equal = (): boolean => a.fingerprint() === b.fingerprint();
  for (const event of events) {
    while (a.count < event.count) {
      const before = stateOf(a, ramBytes);
      const stop = a.run(a.count + 1n);
      b.run(b.count + 1n);
      if (!equal() || a.count !== b.count) {
        const differing = compare(stateOf(a, ramBytes), stateOf(b, ramBytes));
        return [
          `at count ${a.count}, ${b.count}, after`,
          disassembled(before.state, runningHart(before.state), before.ram),
          ...differing,
        ].join('\n');
      }
      if (stop !== 'budget') break;
    }
    drive(a, [{ ...event, count: a.count }]);
    drive(b, [{ ...event, count: b.count }]);
  }
  return undefined;
}
