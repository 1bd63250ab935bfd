/**
 * The board: harts, engine and devices put together into a machine like QEMU's `virt`, so an image
 * that boots there boots here unchanged.
 *
 * Everything that decides the machine's behaviour is in `VirtConfiguration`, the power-on inputs
 * (random seed, wall-clock epoch) included; its digest names the machine in logs and recordings.
 */
import { type ByteReader, ByteWriter } from '../base/bytes.ts';
import { UmbraError } from '../base/errors.ts';
import { hash64 } from '../base/hash64.ts';
import { Bus } from '../devices/bus.ts';
import { Clint } from '../devices/clint.ts';
import { Plic } from '../devices/plic.ts';
import { Rtc } from '../devices/rtc.ts';
import { Syscon } from '../devices/syscon.ts';
import { Uart } from '../devices/uart.ts';
import { dramBase, virtioSlot, virtioSlots, virtMap } from '../devices/virt-map.ts';
import { VirtioBlock } from '../devices/virtio/block.ts';
import { VirtioConsole } from '../devices/virtio/console.ts';
import { VirtioEntropy } from '../devices/virtio/entropy.ts';
import { EmptySlot } from '../devices/virtio/mmio.ts';
import { VirtioNet } from '../devices/virtio/net.ts';
import { makeWasmEngine } from '../engine/wasm-engine.ts';
import type { AccessSize, Device, DeviceContext } from '../machine/device.ts';
import type { Input } from '../machine/effects.ts';
import type { EngineMaker } from '../machine/engine.ts';
import { hartsMax } from '../machine/layout.ts';
import type { MachineMaker, Restore } from '../machine/machine.ts';
import {
  type BootImage,
  type MachineParts,
  type PeripheralContext,
  type Peripherals,
  RiscvMachine,
} from '../machine/riscv-machine.ts';
import { loadKernel } from './kernel.ts';
import { virtTree } from './virt-tree.ts';

/** Names semantics, turns, device behaviour and firmware; a change of any is a new version. */
export const machineVersion = 1;

export const ramBytesMin = 16 << 20;
export const ramBytesMax = 3 * 2 ** 30;

/** What a machine boots. */
export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array | undefined;
  /** Firmware that starts in machine mode at the start of RAM; otherwise the built-in one. */
  readonly bios?: Uint8Array | undefined;
}

/** A machine without what it boots. */
export interface VirtShape {
  readonly hartCount: number;
  readonly ramBytes: number;
  readonly bootArguments: string;
  /** Bytes of each disk. */
  readonly disks: readonly number[];
  /** MAC addresses of the network ports, six bytes each. */
  readonly macs: readonly Uint8Array[];
  /** Where typed bytes go: the UART (default), or a virtio console beside it (`hvc0` in Linux). */
  readonly console?: 'uart' | 'virtio';
  /** Wall-clock time at tick 0, in nanoseconds since the Unix epoch. */
  readonly epochOffset: bigint;
  readonly randomSeed: Uint8Array;
}

export type VirtConfiguration = VirtShape & BootFiles;

export interface VirtMachineMaker extends MachineMaker {
  powerOn(): RiscvMachine;
}

/**
 * Checks a configuration and makes what makes machines of it. Which engine executes them is no part
 * of the configuration: it cannot be observed.
 *
 * @param readAgain the same boot files once more, at each power-on and reset: then nobody keeps tens
 *   of megabytes for a reset that may never come. It may throw
 */
export function virtMachineMaker(
  configuration: VirtConfiguration,
  makeEngine: EngineMaker = makeWasmEngine,
  readAgain?: () => BootFiles,
): VirtMachineMaker {
  check(configuration);
  const { bios, initrd, kernel, ...shape } = configuration;
  const files = { bios, initrd, kernel };
  const hashes = hashesOf(files);
  const parts: MachineParts = {
    ...machineParts(shape, files, readAgain && checked(hashes, readAgain)),
    makeEngine,
  };
  return {
    configuration: digest(shape, hashes),
    powerOn: () => new RiscvMachine(parts),
    restore: (): Restore => RiscvMachine.restore(parts),
  };
}

/** What kernels take; Linux would cut off the rest without a word. */
const bootArgumentsMax = 2047;
/** Firmware owns this much at the start of RAM; kernels lie behind it. */
const firmwareBytesMax = 2 << 20;

function check(configuration: VirtConfiguration): void {
  const { hartCount, ramBytes, disks, macs, bios, bootArguments } = configuration;
  if (!Number.isInteger(hartCount) || hartCount < 1 || hartCount > hartsMax) {
    throw new UmbraError(
      'cpus-out-of-range',
      `A machine has 1 to ${hartsMax} CPUs, not ${hartCount}.`,
      `Choose a number of CPUs from 1 to ${hartsMax}.`,
    );
  }
  if (ramBytes < ramBytesMin || ramBytes > ramBytesMax || ramBytes % 4096 !== 0) {
    throw new UmbraError(
      'memory-out-of-range',
      `A machine has 16 MiB to 3 GiB of memory, not ${ramBytes} bytes.`,
      'Choose a size between 16M and 3G.',
    );
  }
  // One slot is the entropy device's, one the virtio console's if there is one.
  const slotsLeft = virtioSlots - 1 - (configuration.console === 'virtio' ? 1 : 0);
  if (disks.length + macs.length > slotsLeft) {
    throw new UmbraError(
      'too-many-devices',
      `This machine has room for ${slotsLeft} disks and network ports together, not ${disks.length + macs.length}.`,
      'Give it fewer disks or fewer network ports.',
    );
  }
  if (bios && (bios.length === 0 || bios.length > firmwareBytesMax)) {
    const why = bios.length === 0 ? 'is empty' : `has ${bios.length} bytes, more than 2 MiB`;
    throw new UmbraError(
      'firmware-unusable',
      `The firmware file ${why}.`,
      'Give a flat binary for the start of RAM, such as OpenSBI fw_dynamic.bin, or none.',
    );
  }
  if (bootArguments.length > bootArgumentsMax) {
    throw new UmbraError(
      'boot-arguments-too-long',
      `The kernel takes ${bootArgumentsMax} characters of arguments, not ${bootArguments.length}.`,
      'Shorten the arguments.',
    );
  }
}

// --- What lies where in RAM at power-on

const megabyte = 1 << 20;

function machineParts(
  shape: VirtShape,
  files: BootFiles,
  readAgain: (() => BootFiles) | undefined,
): Omit<MachineParts, 'makeEngine'> {
  const { images, ...places } = layOut(shape, files);
  return {
    ...places,
    version: machineVersion,
    hartCount: shape.hartCount,
    ramBytes: shape.ramBytes,
    bootImages: readAgain === undefined ? always(images) : laidOutAgain(shape, readAgain),
    makePeripherals: (context) => new VirtPeripherals(shape, context),
  };
}

// Each of these keeps what it names and nothing else of its caller.

const always =
  <T>(value: T) =>
  (): T =>
    value;

const laidOutAgain = (shape: VirtShape, readAgain: () => BootFiles) => (): readonly BootImage[] =>
  layOut(shape, readAgain()).images;

const checked = (hashes: readonly bigint[], readAgain: () => BootFiles) => (): BootFiles => {
  const files = readAgain();
  if (hashesOf(files).some((hash, index) => hash !== hashes[index])) {
    throw new UmbraError(
      'boot-files-changed',
      'What the VM boots is not what it was when the VM was started: its files have changed.',
      'Put the image back as it was, or power the VM off and on.',
    );
  }
  return files;
};

function hashesOf({ bios, initrd, kernel }: BootFiles): readonly bigint[] {
  const none = new Uint8Array(0);
  return [kernel, initrd ?? none, bios ?? none].map(hash64);
}

function layOut(shape: VirtShape, files: BootFiles) {
  const { hartCount, ramBytes } = shape;
  const { bios, initrd } = files;
  const kernel = loadKernel(files.kernel, dramBase);
  // Linux wants to lie at a multiple of 2 MiB; firmware keeps the first two for itself.
  const lowest = Math.min(...kernel.segments.map(({ offset }) => offset));
  const shift = bios && lowest < firmwareBytesMax ? firmwareBytesMax : 0;
  const kernelEnd = kernel.endOffset + shift;
  const needed = kernelEnd + (initrd?.length ?? 0) + 4 * megabyte;
  if (needed > ramBytes) {
    throw new UmbraError(
      'memory-too-small',
      `Kernel and initial RAM disk need ${Math.ceil(needed / megabyte)} MiB of memory.`,
      'Give the machine more memory.',
    );
  }
  const images: BootImage[] = [];
  const place = (offset: number, bytes: Uint8Array): bigint => {
    const address = BigInt(dramBase + offset);
    images.push({ address, bytes });
    return address;
  };
  if (bios) place(0, bios);
  for (const { offset, bytes } of kernel.segments) place(offset + shift, bytes);
  const initrdAt = alignDown(ramBytes - 2 * megabyte - (initrd?.length ?? 0), 4096);
  if (initrd) place(initrdAt, initrd);
  const tree = virtTree({
    hartCount,
    ramBytes,
    bootArguments: shape.bootArguments,
    initrd: initrd && { start: dramBase + initrdAt, end: dramBase + initrdAt + initrd.length },
    randomSeed: shape.randomSeed,
  });
  const deviceTree = place(ramBytes - 2 * megabyte, tree);
  const kernelEntry = BigInt(dramBase + kernel.entryOffset + shift);
  const firmwareInformation = place(ramBytes - megabyte, dynamicInformation(kernelEntry));
  return {
    images: images as readonly BootImage[],
    entry: bios ? BigInt(dramBase) : kernelEntry,
    deviceTree,
    firmware: bios ? ('image' as const) : ('builtin' as const),
    firmwareInformation,
  };
}

const alignDown = (value: number, to: number): number => Math.floor(value / to) * to;

/** OpenSBI's `fw_dynamic_info`: go on in supervisor mode at this address. */
function dynamicInformation(next: bigint): Uint8Array {
  const OSBI = 0x4942534fn;
  const supervisor = 1n;
  const writer = new ByteWriter();
  for (const field of [OSBI, 2n, next, supervisor, 0n, 0n]) writer.u64(field);
  return writer.finish();
}

function digest(configuration: VirtShape, hashes: readonly bigint[]): Uint8Array {
  const { disks, macs } = configuration;
  const writer = new ByteWriter();
  writer.u16(machineVersion).u8(configuration.hartCount).varint(configuration.ramBytes);
  for (const hash of hashes) writer.u64(hash);
  writer.text(configuration.bootArguments);
  writer.varint(disks.length);
  for (const bytes of disks) writer.varint(bytes);
  writer.varint(macs.length);
  for (const mac of macs) writer.bytes(mac);
  writer.bool(configuration.console === 'virtio');
  writer.u64(configuration.epochOffset).bytes(configuration.randomSeed);
  const all = writer.finish();
  return new ByteWriter().u64(hash64(all)).u64(hash64(all.toReversed())).finish();
}

// --- Devices

class VirtPeripherals implements Peripherals {
  readonly #bus: Bus;
  readonly #uart: Uart;
  readonly #rtc: Rtc;
  readonly #disks: readonly VirtioBlock[];
  readonly #ports: readonly VirtioNet[];
  readonly #entropy: VirtioEntropy;
  /** What typed bytes go to. */
  readonly #console: Uart | VirtioConsole;
  /** In the order in which they are saved, the interrupt controller first. */
  readonly #devices: readonly Device[];

  constructor(configuration: VirtShape, context: PeripheralContext) {
    const plic = new Plic(context.lines);
    const behind = (interrupt: number): DeviceContext => ({
      memory: context.memory,
      now: context.now,
      emit: context.emit,
      setInterrupt: (level) => plic.setLevel(interrupt, level),
    });
    const clint = new Clint(context.lines, context);
    const syscon = new Syscon(context);
    const { epochOffset } = configuration;
    this.#uart = new Uart(behind(virtMap.uart.interrupt));
    this.#rtc = new Rtc({ epochOffset }, behind(virtMap.rtc.interrupt));
    let slot = 0;
    const nextSlot = (): DeviceContext => behind(virtioSlot(slot++).interrupt);
    this.#ports = configuration.macs.map((mac, port) => new VirtioNet({ port, mac }, nextSlot()));
    this.#disks = configuration.disks.map(
      (capacity, disk) => new VirtioBlock({ disk, capacity, serial: `umbra-${disk}` }, nextSlot()),
    );
    this.#entropy = new VirtioEntropy(nextSlot());
    const slots: Device[] = [...this.#ports, ...this.#disks, this.#entropy];
    this.#console = this.#uart;
    if (configuration.console === 'virtio') {
      this.#console = new VirtioConsole(nextSlot());
      slots.push(this.#console);
    }
    while (slots.length < virtioSlots) slots.push(new EmptySlot());
    this.#devices = [plic, clint, syscon, this.#uart, this.#rtc, ...slots];
    this.#bus = new Bus([
      { ...virtMap.plic, device: plic },
      { ...virtMap.clint, device: clint },
      { ...virtMap.syscon, device: syscon },
      { ...virtMap.uart, device: this.#uart },
      { ...virtMap.rtc, device: this.#rtc },
      ...slots.map((device, index) => ({ ...virtioSlot(index), device })),
    ]);
  }

  read(physical: bigint, bytes: number): bigint | undefined {
    if (bytes === 8) return this.#bus.read64(Number(physical));
    const value = this.#bus.read(Number(physical), bytes as AccessSize);
    return value === undefined ? undefined : BigInt(value);
  }

  write(physical: bigint, bytes: number, value: bigint): boolean {
    if (bytes === 8) return this.#bus.write64(Number(physical), value);
    return this.#bus.write(Number(physical), bytes as AccessSize, Number(value));
  }

  apply(input: Exclude<Input, { kind: 'clock' }>): void {
    switch (input.kind) {
      case 'frame':
        return this.#ports[input.port]?.deliver(input.frame, input.segmentBytes);
      case 'disk':
        return this.#disks[input.disk]?.complete(input);
      case 'console':
        return this.#console.receive(input.bytes);
      case 'entropy':
        return this.#entropy.receive(input.bytes);
      case 'control':
        // The board has no power button that an unmodified kernel listens to.
        return;
    }
  }

  takesSegments(port: number): boolean {
    return this.#ports[port]?.takesSegments === true;
  }

  pendingDiskRequests() {
    return this.#disks.flatMap((disk) => disk.pendingRequests);
  }

  awaitsDiskRequest(disk: number, request: number): boolean {
    return this.#disks[disk]?.awaits(request) === true;
  }

  wakeTime() {
    return this.#rtc.wakeTime;
  }

  tick(): void {
    this.#rtc.tick();
  }

  reset(): void {
    for (const device of this.#devices) device.reset();
  }

  save(writer: ByteWriter): void {
    for (const device of this.#devices) device.save(writer);
  }

  restore(reader: ByteReader): void {
    for (const device of this.#devices) device.restore(reader);
  }
}
