/**
 * A VM in a process of its own, as `umbra run` makes it, which watches itself: `run-observed.ts
 * KERNEL INITRD APPEND MEMORY_BYTES READY IDLE_SECONDS`. Prints one `Observation`; the guest's
 * console goes to standard error.
 *
 * Neither host nor machine has a hook for this. The machine's `run` is wrapped where all machines
 * have it, and linear memory is caught where it is made.
 */
import { readFileSync } from 'node:fs';
import { getHeapSpaceStatistics } from 'node:v8';
import { LocalVm } from '../../src/host/local/local-vm.ts';
import { createLocalNetwork } from '../../src/host/local-network.ts';
import { layoutFor, pageBytes, pageFlag } from '../../src/machine/layout.ts';
import type { Machine, Stop } from '../../src/machine/machine.ts';
import { RiscvMachine } from '../../src/machine/riscv-machine.ts';
import { readMac } from '../../src/network/wire.ts';

export interface Observation {
  /** From power-on to the ready line. */
  readonly instructions: number;
  /** From the start of the process to the ready line. */
  readonly seconds: number;
  /** Milliseconds of each call of `Machine.run` until then. */
  readonly sliceMs: Percentiles;
  /** After the guest has idled: VmRSS and VmHWM of the process, and its share by PSS. */
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly proportionalBytes: number;
  /** Pages of guest RAM that have been stored into since power-on, by the machine's own flags. */
  readonly touchedBytes: number;
  /** What the rest of the resident memory is, as far as the process can tell. */
  readonly parts: Parts;
}

export interface Parts {
  /** Linear memory beside guest RAM: decoded code, lookaside buffers, bookkeeping. */
  readonly tables: number;
  readonly javascriptHeap: number;
  /** What the machine was powered on with, above all: it is needed again at a reset. */
  readonly buffers: number;
  /** Pages of the program and its libraries. */
  readonly programFiles: number;
}

export interface Percentiles {
  readonly median: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const [kernel, initrd, bootArguments, memory, ready, idleSeconds] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const ramBytes = Number(memory);
const layout = layoutFor(ramBytes);

// --- What is wrapped

const slicesMs: number[] = [];
let machine: Machine | undefined;
let booting = true;

const run = RiscvMachine.prototype.run;
RiscvMachine.prototype.run = function (this: RiscvMachine, until: bigint): Stop {
  if (!booting) return run.call(this, until);
  machine = this;
  const start = performance.now();
  const stop = run.call(this, until);
  slicesMs.push(performance.now() - start);
  return stop;
};

const memories: WebAssembly.Memory[] = [];
WebAssembly.Memory = class extends WebAssembly.Memory {
  constructor(descriptor: ConstructorParameters<typeof WebAssembly.Memory>[0]) {
    super(descriptor);
    memories.push(this);
  }
};

// --- What is read off

function percentiles(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (part: number): number => sorted[Math.ceil(part * sorted.length) - 1]!;
  return { median: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

/** A field of a file below /proc/self, in bytes. */
function kilobytes(file: string, field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(
    readFileSync(`/proc/self/${file}`, 'utf8'),
  );
  if (found === null) throw new Error(`/proc/self/${file} does not say ${field}`);
  return Number(found[1]) * 1024;
}

function touchedBytes(): number {
  const ours = memories.find(({ buffer }) => buffer.byteLength === layout.totalBytes);
  if (ours === undefined) throw new Error('the machine has no linear memory of its layout');
  const flags = new Uint8Array(ours.buffer, layout.pageFlagsAt, layout.ramPages);
  return flags.reduce((sum, flag) => sum + ((flag & pageFlag.touched) === 0 ? 0 : pageBytes), 0);
}

/** What is resident of the one mapping that is as long as linear memory. */
function linearMemoryResident(): number {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const ours = mappings.filter((text) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(text)!;
    return Number(`0x${to}`) - Number(`0x${from}`) === layout.totalBytes;
  });
  if (ours.length !== 1) throw new Error('linear memory is not a mapping of its own');
  return Number(/^Rss:\s+(\d+) kB$/m.exec(ours[0]!)![1]) * 1024;
}

const parts = (touched: number): Parts => ({
  tables: linearMemoryResident() - touched,
  javascriptHeap: getHeapSpaceStatistics().reduce((sum, one) => sum + one.physical_space_size, 0),
  buffers: process.memoryUsage().arrayBuffers,
  programFiles: kilobytes('status', 'RssFile'),
});

// --- The VM

const mac = Uint8Array.of(0x52, 0x54, 0x00, 0x12, 0x34, 0x56);
const network = await createLocalNetwork({ mac: readMac(mac, 0), publish: [] });
let shown = '';
const vm = await LocalVm.start({
  configuration: {
    hartCount: 1,
    ramBytes,
    kernel: readFileSync(kernel),
    initrd: readFileSync(initrd),
    bootArguments,
    disks: [],
    macs: [mac],
    console: 'uart',
    epochOffset: BigInt(Date.now()) * 1_000_000n,
    randomSeed: crypto.getRandomValues(new Uint8Array(32)),
  },
  disks: [],
  network,
  console: (bytes) => {
    process.stderr.write(bytes);
    if (!booting) return;
    shown = (shown + Buffer.from(bytes).toString('latin1')).slice(-1000);
    if (shown.includes(ready)) isReady();
  },
  log: undefined,
  maxInstructions: undefined,
});

function isReady(): void {
  booting = false;
  const instructions = Number(machine!.count);
  const seconds = performance.now() / 1000;
  const boot = {
    instructions,
    seconds,
    sliceMs: percentiles(slicesMs),
  };
  setTimeout(() => {
    const touched = touchedBytes();
    const observation: Observation = {
      ...boot,
      residentBytes: kilobytes('status', 'VmRSS'),
      peakBytes: kilobytes('status', 'VmHWM'),
      proportionalBytes: kilobytes('smaps_rollup', 'Pss'),
      touchedBytes: touched,
      parts: parts(touched),
    };
    console.log(JSON.stringify(observation));
    vm.leave();
  }, Number(idleSeconds) * 1000);
}

await vm.ended;
network.close();
