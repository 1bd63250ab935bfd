/**
 * Boots a kernel as `umbra run` does, console on standard output: `run-kernel.ts KERNEL INITRD
 * APPEND MEMORY`. Ends on SIGTERM with a report on standard error, `{ instructions, seconds }`.
 */
import { readFileSync } from 'node:fs';
import { LocalVm } from '../../src/host/local/local-vm.ts';

const [kernel, initrd, bootArguments, memory] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];

const vm = await LocalVm.start({
  configuration: {
    hartCount: 1,
    ramBytes: Number.parseInt(memory, 10) << 20,
    kernel: readFileSync(kernel),
    initrd: readFileSync(initrd),
    bootArguments,
    disks: [],
    macs: [],
    epochOffset: BigInt(Date.now()) * 1_000_000n,
    randomSeed: crypto.getRandomValues(new Uint8Array(32)),
  },
  disks: [],
  network: undefined,
  console: (bytes) => process.stdout.write(bytes),
  log: undefined,
  maxInstructions: undefined,
});
process.on('SIGTERM', () => vm.leave());
const { instructions, seconds } = await vm.ended;
process.stderr.write(JSON.stringify({ instructions: Number(instructions), seconds }));
