/**
 * One VM in this process, alone: `umbra run`. The same live copy as in a pair, without arbiter and
 * without shadow; its log can go to a recording.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type VirtConfiguration, virtMachineMaker } from '../../board/virt.ts';
import { HostClock } from '../../lockstep/clock.ts';
import { Copy } from '../../lockstep/copy.ts';
import type { Ports } from '../../lockstep/ports.ts';
import { Primary } from '../../lockstep/primary.ts';
import type { FrameOutput, Output } from '../../machine/effects.ts';
import type { Machine } from '../../machine/machine.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';
import { isAwaited } from '../../network/awaited.ts';
import { ReceiveOffload } from '../../network/receive-offload.ts';
import { sendSegments } from '../../network/send-offload.ts';
import { nowUs } from '../clock.ts';
import { hostEngine } from '../engine.ts';
import type { Tier } from '../tiers.ts';
import { Driver } from '../vm/driver.ts';
import { type DiskFile, FileDisks } from '../vm/file-disk.ts';
import { BoundedMachine } from './bounded-machine.ts';
import { PausableClock } from './pausable-clock.ts';
import type { Profile } from './profile.ts';
import { ProfiledMachine } from './profiled-machine.ts';

/** The VM's network card's other end. */
export interface FramePort {
  send(frame: Uint8Array): void;
  onFrame: (frame: Uint8Array) => void;
}

/** Where the log goes: batches of entries in order, the machine's end last. */
export interface LogSink {
  batch(firstPosition: number, entries: Uint8Array): void;
  /** Behind each step of the live copy, which took so long. */
  stepped(primary: Primary, micros: number): void;
}

export interface LocalVmOptions {
  readonly configuration: VirtConfiguration;
  readonly tier?: Tier | undefined;
  readonly disks: readonly DiskFile[];
  readonly network: FramePort | undefined;
  readonly console: (bytes: Uint8Array) => void;
  /** Makes the taker of the log, given the configuration's digest. */
  readonly log: ((configuration: Uint8Array, machine: Machine) => LogSink) | undefined;
  readonly maxInstructions: bigint | undefined;
  /** A machine that goes on; otherwise one is powered on. */
  readonly machine?: { readonly machine: RiscvMachine; readonly nextPosition: number } | undefined;
  /** It stands still from the first, until a debugger lets it go. */
  readonly halted?: boolean;
  /** Made for this VM, to be filled while it runs. */
  readonly profile?: Profile | undefined;
}

export interface LocalVmResult {
  readonly instructions: bigint;
  readonly seconds: number;
  readonly stop: 'off' | 'failed' | 'limit' | 'left';
  readonly fingerprint: bigint;
}

export class LocalVm {
  readonly #machine: Machine;
  /** The machine itself, for a debugger between two slices. */
  readonly inner: RiscvMachine;
  readonly #copy: Copy;
  readonly #driver: Driver;
  readonly #disks: FileDisks;
  readonly #limit: bigint | undefined;
  readonly #startedAt = nowUs();
  readonly #clock: PausableClock;
  readonly #ended = Promise.withResolvers<LocalVmResult>();
  #failed = false;
  #left = false;

  private constructor(
    options: LocalVmOptions,
    disks: FileDisks,
    machine: Machine,
    inner: RiscvMachine,
    copy: Copy,
    clock: PausableClock,
    sink: LogSink | undefined,
  ) {
    this.inner = inner;
    this.#clock = clock;
    this.#machine = machine;
    this.#copy = copy;
    this.#disks = disks;
    this.#limit = options.maxInstructions;
    const afterStep = (micros: number): void => {
      if (copy.primary) sink?.stepped(copy.primary, micros);
      if (copy.ended !== undefined) this.#finish();
      else this.afterStep?.();
    };
    this.#driver = new Driver(copy, afterStep, clock.now);
  }

  /** Between two slices; for a debugger. */
  afterStep: (() => void) | undefined;

  static async start(options: LocalVmOptions): Promise<LocalVm> {
    const { profile } = options;
    const engine = hostEngine(options.tier, { observe: profile });
    const maker = virtMachineMaker(options.configuration, engine);
    let vm: LocalVm | undefined;
    const disks = await FileDisks.open(options.disks, (origin, completion) => {
      if (vm === undefined) return;
      vm.#copy.diskDone(origin, completion);
      vm.#driver.wake();
    });
    const powered = options.machine?.machine ?? maker.powerOn();
    const clock = new PausableClock();
    const real = profile === undefined ? powered : new ProfiledMachine(powered, profile);
    const limit = options.maxInstructions;
    const machine = limit === undefined ? real : new BoundedMachine(real, limit);
    const sink = options.log?.(maker.configuration, machine);
    const sendOne = ({ frame, segmentBytes }: FrameOutput): void => {
      const { network } = options;
      if (segmentBytes === 0) network?.send(frame);
      else sendSegments(frame, segmentBytes, (segment) => network?.send(segment));
    };
    const send = (output: Output): void => {
      if (output.kind === 'frame') sendOne(output);
      else if (output.kind === 'console') options.console(output.bytes);
      else if (output.kind === 'power' && output.action === 'failed') vm!.#failed = true;
    };
    const ports: Ports = {
      clock,
      disks,
      outputs: { send, isAwaited, suppressed: () => {}, announce: () => {} },
      arbiter: undefined,
      entropy: (length) => randomBytes(length),
      blockHash: (bytes) => createHash('sha256').update(bytes).digest(),
      report: () => {},
      ...(sink && { recording: (first, entries) => sink.batch(first, entries) }),
    };
    const copyOptions = {
      vm: 'local',
      member: { host: 'local', process: 'local' },
      configuration: maker.configuration,
      disks: options.disks.map(({ bytes }) => ({ length: bytes, shared: false })),
    };
    const hostClock = new HostClock(machine.time, clock.now());
    const position = options.machine?.nextPosition ?? 1;
    const primary = new Primary(copyOptions, ports, machine, position, hostClock, undefined);
    const copy = new Copy(primary);
    vm = new LocalVm(options, disks, machine, powered, copy, clock, sink);
    const started = vm;
    if (options.network) {
      const offload = new ReceiveOffload((frame, segments) => copy.frame(0, frame, segments));
      options.network.onFrame = (frame) => {
        if (copy.takesSegments(0)) offload.push(frame.slice());
        else copy.frame(0, frame.slice());
        // Behind all that the gateway sends in this turn, and before the next slice.
        queueMicrotask(() => offload.flush());
        started.#driver.wake();
      };
    }
    if (options.halted === true) vm.halt();
    else vm.#driver.wake();
    return vm;
  }

  /** Stands still between two slices, and the guest's clock with it. */
  halt(): void {
    this.#driver.pause();
    this.#clock.pause();
  }

  goOn(): void {
    this.#clock.goOn();
    this.#driver.resume();
  }

  get ended(): Promise<LocalVmResult> {
    return this.#ended.promise;
  }

  type(bytes: Uint8Array): void {
    this.#copy.console(bytes);
    this.#driver.wake();
  }

  /** Ends at once, as if the plug were pulled; what was recorded is whole. */
  leave(): void {
    this.#left = true;
    this.#copy.control('power-off');
    this.#driver.wake();
  }

  #finish(): void {
    this.#driver.stop();
    const limited = this.#limit !== undefined && this.#machine.count >= this.#limit;
    const result: LocalVmResult = {
      instructions: this.#machine.count,
      seconds: (nowUs() - this.#startedAt) / 1e6,
      stop: this.#failed ? 'failed' : this.#left ? 'left' : limited ? 'limit' : 'off',
      fingerprint: this.#machine.fingerprint(),
    };
    this.#disks.close().then(() => this.#ended.resolve(result), this.#ended.reject);
  }
}
