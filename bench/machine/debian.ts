/**
 * `debian`: what a whole Debian costs one VM process. The image `debian` (systemd) boots with 512 MB
 * and a network card in a process of its own, as `umbra run` makes it, and idles some seconds.
 *
 * Of its document: `instructions` and `seconds` are those to the ready line. `residentOverGuestBytes`
 * is the process's resident memory after idling less the pages of guest RAM that have been stored
 * into since power-on; guest RAM is one anonymous mapping, of which the kernel holds just these
 * pages. `parts` says what the rest is as far as the process can tell; what remains is compiled code
 * and what compilers and allocators keep. `sliceMs` is how long each call of `Machine.run` took until ready, by the clock: whatever
 * else runs on the machine shows in it. Of several rounds every figure is the median, but `max`,
 * which is the greatest.
 */

import { join } from 'node:path';
import { builtImage } from '../../tests/images/built-image.ts';
import type { Bench, BenchOptions } from '../bench.ts';
import { median } from '../statistics.ts';
import { watchConsole } from './console-run.ts';
import type { Observation, Parts, Percentiles } from './run-observed.ts';

const roundsDefault = 1;
const memoryBytes = 512 * 2 ** 20;
const idleSeconds = 5;

interface DebianDocument extends Observation {
  readonly rounds: number;
  readonly memoryBytes: number;
  readonly residentOverGuestBytes: number;
  readonly proportionalOverGuestBytes: number;
}

async function measure({
  rounds = roundsDefault,
  progress,
}: BenchOptions): Promise<DebianDocument> {
  const { kernelPath, initrdPath, append, ready } = await builtImage('debian');
  const boot = [kernelPath, initrdPath, append, `${memoryBytes}`, ready, `${idleSeconds}`];
  const args = [join(import.meta.dirname, 'run-observed.ts'), ...boot];
  const observations: Observation[] = [];
  for (let round = 1; round <= rounds; round++) {
    const { report } = await watchConsole({ program: process.execPath, args, console: 'stderr' });
    const observation = JSON.parse(report) as Observation;
    observations.push(observation);
    const slices = `slices up to ${observation.sliceMs.max.toFixed(1)} ms`;
    progress(`round ${round} of ${rounds}: ${observation.seconds.toFixed(2)} s, ${slices}`);
  }
  return document(observations);
}

function document(all: readonly Observation[]): DebianDocument {
  const figure = (of: (each: Observation) => number): number => median(all.map(of));
  const slices = (of: (each: Observation) => Percentiles): Percentiles => ({
    median: figure((each) => of(each).median),
    p99: figure((each) => of(each).p99),
    p999: figure((each) => of(each).p999),
    max: Math.max(...all.map((each) => of(each).max)),
  });
  return {
    rounds: all.length,
    memoryBytes,
    instructions: figure((each) => each.instructions),
    seconds: figure((each) => each.seconds),
    residentOverGuestBytes: figure((each) => each.residentBytes - each.touchedBytes),
    proportionalOverGuestBytes: figure((each) => each.proportionalBytes - each.touchedBytes),
    residentBytes: figure((each) => each.residentBytes),
    peakBytes: figure((each) => each.peakBytes),
    proportionalBytes: figure((each) => each.proportionalBytes),
    touchedBytes: figure((each) => each.touchedBytes),
    parts: {
      tables: figure((each) => each.parts.tables),
      javascriptHeap: figure((each) => each.parts.javascriptHeap),
      buffers: figure((each) => each.parts.buffers),
      programFiles: figure((each) => each.parts.programFiles),
    },
    sliceMs: slices((each) => each.sliceMs),
  };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
const milliseconds = ({ median: middle, p99, p999, max }: Percentiles): string =>
  [middle, p99, p999, max].map((value) => value.toFixed(2)).join(', ');

const partsText = (parts: Parts): string =>
  Object.entries(parts)
    .map(([name, bytes]) => `${name} ${megabytes(bytes)}`)
    .join(', ');

function show({ instructions, seconds, ...rest }: DebianDocument): string {
  const mips = (instructions / seconds / 1e6).toFixed(0);
  return [
    `ready after ${(instructions / 1e6).toFixed(0)} million instructions, ${seconds.toFixed(2)} s: ${mips} million a second`,
    `resident ${megabytes(rest.residentBytes)}, of it ${megabytes(rest.touchedBytes)} the guest's RAM: ${megabytes(rest.residentOverGuestBytes)} over it (${partsText(rest.parts)})`,
    `slices, median, 99 %, 99.9 % and longest: ${milliseconds(rest.sliceMs)} ms`,
  ].join('\n');
}

export const debian: Bench = { rows: ['debian'], measure, show };
