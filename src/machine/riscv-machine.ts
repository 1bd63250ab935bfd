/**
 * The RISC-V machine: harts that take turns, timers, firmware and devices around an engine.
 *
 * Inputs come in by `apply`, outputs are collected as the devices emit them; both only through
 * `effects.ts`. Everything here is decided by counts, so a run may be cut anywhere: what must
 * happen at a count (a timer, the end of a hart's turn) is computed, never polled.
 */
import { assert } from '../base/assert.ts';
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { hash64 } from '../base/hash64.ts';
import { hart } from '../isa/hart-state.ts';
import { DebugTraps, type Trap, type Traps } from './debug-traps.ts';
import type { DeviceOutput, GuestMemory, HartLines } from './device.ts';
import type { DiskRequest, Input, Output, Ticks } from './effects.ts';
import type { Engine, EngineMaker } from './engine.ts';
import { type FirmwareContext, firmwareCall, hsm, startSupervisor } from './firmware.ts';
import { type ClockSample, GuestClock } from './guest-clock.ts';
import { Harts, line, never } from './harts.ts';
import { Inspection } from './inspection.ts';
import { layoutFor, run, stopReason } from './layout.ts';
import type {
  Checkpoint,
  CheckpointSeries,
  EndsAt,
  Machine,
  Restore,
  Stop,
  UnservedTimer,
} from './machine.ts';
import { Ram, type RamCheckpoint } from './ram.ts';
import type { RamDelta } from './ram-changes.ts';
import type { RamLayer } from './ram-history.ts';

/** What is behind the bus, as one. `board/` makes it of the devices. */
export interface Peripherals {
  read(physical: bigint, bytes: number): bigint | undefined;
  write(physical: bigint, bytes: number, value: bigint): boolean;
  apply(input: Exclude<Input, { kind: 'clock' }>): void;
  takesSegments(port: number): boolean;
  pendingDiskRequests(): DiskRequest[];
  awaitsDiskRequest(disk: number, request: number): boolean;
  /** The guest's time at which `tick` is wanted. */
  wakeTime(): Ticks | undefined;
  tick(): void;
  reset(): void;
  save(writer: ByteWriter): void;
  restore(reader: ByteReader): void;
}

/** What the peripherals may do to the machine. */
export interface PeripheralContext {
  readonly memory: GuestMemory;
  readonly lines: HartLines;
  now(): Ticks;
  emit(output: DeviceOutput): void;
}

export interface BootImage {
  readonly address: bigint;
  readonly bytes: Uint8Array;
}

export interface MachineParts {
  readonly version: number;
  readonly hartCount: number;
  readonly ramBytes: number;
  /** Loaded into RAM at power-on and at reset, in this order. */
  readonly bootImages: () => readonly BootImage[];
  readonly entry: bigint;
  /** What the first hart finds in a1: the device tree. */
  readonly deviceTree: bigint;
  /** `builtin`: the kernel starts in supervisor mode; otherwise all harts start in machine mode. */
  readonly firmware: 'builtin' | 'image';
  /** For firmware images: what a2 points to (OpenSBI's dynamic information). */
  readonly firmwareInformation: bigint;
  readonly makeEngine: EngineMaker;
  readonly makePeripherals: (context: PeripheralContext) => Peripherals;
}

/** Where the machine is in its program, for those who watch it from outside. */
export interface Position {
  /** The hart whose turn it is. */
  readonly hart: number;
  readonly pc: bigint;
  /** 0 user, 1 supervisor, 3 machine. */
  readonly privilege: number;
  readonly satp: bigint;
}

/** A point of the past to which this machine, and no other, can go back. */
export interface Point {
  readonly count: bigint;
  readonly state: Uint8Array;
  readonly layer: RamLayer;
}

/** Counts for which a hart keeps its turn while others wait for theirs. */
const turnCounts = 50_000n;
/** The longest single run of an engine; only a bound for 32-bit budgets. */
const budgetMax = 1n << 30n;
/** Until the first sample: a tick in sixteen counts. */
const powerOnClock = { time: 0n, rate: 1 << 20, span: 2 ** 32 - 1 };

type Power = 'on' | 'off';

export class RiscvMachine implements Machine {
  readonly #parts: MachineParts;
  readonly #engine: Engine;
  readonly #view: DataView;
  readonly #harts: Harts;
  readonly #clock: GuestClock;
  readonly #ram: Ram;
  readonly #peripherals: Peripherals;
  readonly #firmware: FirmwareContext;
  #count = 0n;
  #power: Power = 'on';
  #resetWanted = false;
  /** Counts left of the running hart's turn. */
  #turnLeft = turnCounts;
  #consoleOffset = 0n;
  #outputs: Output[] = [];
  /** Where the next timer fires, while nothing changes; derived. */
  #nextTimer: bigint | undefined;
  /** Since then: a comparator may have been written; and the device's deadline at that time. */
  #deadlineMoved = false;
  #deviceWake: Ticks | undefined;
  /** At which frames the present run ends, and whether one has left. */
  #endsAt: EndsAt | undefined;
  #frameLeft = false;
  /** While the engine runs: the count at which its present run would end. */
  #runEnd: bigint | undefined;
  readonly #traps: DebugTraps;
  #hartStepped = false;
  /** For a debugger: runs end behind each instruction of this hart. */
  stepHart: number | undefined;
  /** Registers and memory, for those who look at the machine between runs. */
  readonly inspection: Inspection;

  /** @param images what RAM holds at first; a restore brings its own, and a reset loads them all */
  constructor(parts: MachineParts, images: readonly BootImage[] = parts.bootImages()) {
    this.#parts = parts;
    const layout = layoutFor(parts.ramBytes);
    this.#engine = parts.makeEngine(layout, {
      deviceLoad: (physical, bytes) => {
        const value = this.#peripherals.read(physical, bytes);
        this.#accessed();
        return value;
      },
      deviceStore: (physical, bytes, value) => {
        const done = this.#peripherals.write(physical, bytes, value);
        this.#accessed();
        return done;
      },
      preservePage: (page) => this.#ram.preserve(page),
      breakpointHere: () => {
        const { hart: index, pc } = this.position;
        return this.#traps.breakpointMet(this.#countNow(), index, pc);
      },
      dataAccessed: (address, bytes, isStore) =>
        this.#traps.dataAccessed(this.#countNow(), this.#harts.running, address, bytes, isStore),
    });
    const { memory } = this.#engine;
    this.#view = new DataView(memory.buffer);
    this.#harts = new Harts(memory, parts.hartCount);
    this.#clock = new GuestClock(memory);
    this.#ram = new Ram(this.#engine, layout);
    this.#traps = new DebugTraps(this.#engine, (pages, from, to) => {
      this.#view.setBigUint64(run.watchedPages.at, pages, true);
      this.#view.setBigUint64(run.watchedFrom.at, from, true);
      this.#view.setBigUint64(run.watchedTo.at, BigInt.asUintN(64, to), true);
    });
    this.inspection = new Inspection(this.#harts, this.#ram);
    this.#peripherals = parts.makePeripherals({
      memory: {
        view: (address, length) => this.#ram.view(address, length),
        write: (address, bytes) => this.#deviceWrites(address, bytes),
      },
      lines: this.#lines(),
      now: () => this.#clock.timeAt(this.#countNow()),
      emit: (output) => this.#emit(output),
    });
    this.#firmware = {
      harts: this.#harts,
      readRam: (address, length) => this.#ram.view(address, length),
      consoleOutput: (bytes) => this.#emit({ kind: 'console', bytes }),
      power: (action) => this.#emit({ kind: 'power', action }),
    };
    this.#view.setUint32(run.builtinFirmware.at, parts.firmware === 'builtin' ? 1 : 0, true);
    this.#clock.set(0n, powerOnClock);
    this.#boot(images);
  }

  get count(): bigint {
    return this.#count;
  }

  get time(): Ticks {
    return this.#clock.timeAt(this.#count);
  }

  /** From which the guest's time at each count since then follows. */
  get clockSample(): ClockSample {
    return this.#clock.sample;
  }

  get wakeTime(): Ticks | undefined {
    let earliest = this.#peripherals.wakeTime();
    for (const compare of this.#armedTimers()) {
      if (earliest === undefined || compare < earliest) earliest = compare;
    }
    return earliest;
  }

  get unservedTimer(): UnservedTimer | undefined {
    let oldest: UnservedTimer | undefined;
    for (let index = 0; index < this.#harts.hartCount; index++) {
      if (this.#harts.getWord(index, hart.hsmState) !== hsm.started) continue;
      const due = this.#harts.get(index, hart.mipLines) & this.#harts.get(index, hart.mie);
      const compares = [
        [line.supervisorTimer, hart.stimecmp],
        [line.machineTimer, hart.mtimecmp],
      ] as const;
      for (const [mask, field] of compares) {
        const deadline = this.#harts.get(index, field);
        if ((due & mask) === 0n || (oldest && oldest.deadline <= deadline)) continue;
        oldest = { hart: index, deadline };
      }
    }
    return oldest;
  }

  get position(): Position {
    const harts = this.#harts;
    const { running } = harts;
    return {
      hart: running,
      pc: harts.get(running, hart.pc),
      privilege: harts.getWord(running, hart.privilege),
      satp: harts.get(running, hart.satp),
    };
  }

  // --- Running

  run(until: bigint, endsAt?: EndsAt): Stop {
    return this.#run(until, undefined, endsAt) as Stop;
  }

  /** Like `run`, and ends ahead of a hand-over to another hart. */
  runTurn(until: bigint): Stop | 'turn' {
    return this.#run(until, this.nextHart);
  }

  #run(until: bigint, hartOfTurn: number | undefined, endsAt?: EndsAt): Stop | 'turn' {
    this.#endsAt = endsAt;
    this.#frameLeft = false;
    this.#traps.runBegins();
    this.#hartStepped = false;
    while (this.#count < until && !this.#frameLeft) {
      if (this.#power === 'off') return 'off';
      this.#fireTimers();
      if (hartOfTurn !== undefined && this.nextHart !== hartOfTurn) return 'turn';
      if (!this.#giveTurn()) return 'idle';
      const steps = this.stepHart === this.#harts.running;
      this.#runHart(steps ? this.#count + 1n : until);
      this.#hartStepped ||= steps;
      if (steps || this.#traps.met !== undefined) {
        this.#fireTimers();
        return 'trap';
      }
    }
    // What is due at this very count happens now, so that the state here is one and the same
    // whether the run was cut here or not.
    this.#fireTimers();
    if (this.#power === 'off') return 'off';
    return this.#frameLeft ? 'frame' : 'budget';
  }

  /** One run of the engine: to `until`, the next timer or the end of the turn. */
  #runHart(until: bigint): void {
    let end = until;
    if (this.#nextTimer !== undefined && this.#nextTimer < end) end = this.#nextTimer;
    if (this.#harts.hartCount > 1 && this.#count + this.#turnLeft < end) {
      end = this.#count + this.#turnLeft;
    }
    if (end - this.#count > budgetMax) end = this.#count + budgetMax;
    this.#view.setBigUint64(run.end.at, end, true);
    this.#runEnd = end;
    const left = this.#engine.run(Number(end - this.#count));
    this.#runEnd = undefined;
    const now = end - BigInt(left);
    if (this.#harts.hartCount > 1) this.#turnLeft -= now - this.#count;
    this.#count = now;
    this.#afterRun(this.#view.getUint32(run.stopRequest.at, true));
  }

  #afterRun(stop: number): void {
    if (stop & stopReason.firmware) {
      firmwareCall(this.#firmware);
      this.#nextTimer = undefined;
      this.#timersMoved();
    }
    if (stop & stopReason.event) this.#timersMoved();
    if (stop & stopReason.yield) this.#turnLeft = 0n;
    if (this.#resetWanted) this.#reset();
  }

  /** What harts are to devices. */
  #lines(): HartLines {
    const harts = this.#harts;
    return {
      hartCount: harts.hartCount,
      setMachineSoftware: (index, level) => harts.setMachineSoftware(index, level),
      setExternal: (index, mode, level) => harts.setExternal(index, mode, level),
      machineTimeCompare: (index) => harts.machineTimeCompare(index),
      setMachineTimeCompare: (index, value) => {
        harts.setMachineTimeCompare(index, value);
        this.#deadlineMoved = true;
      },
    };
  }

  /**
   * A hart has accessed a device. The engine looks at interrupts by itself; the run ends behind the
   * instruction only if a deadline may have moved, or the machine's power is concerned.
   */
  #accessed(): void {
    const wake = this.#peripherals.wakeTime();
    const moved = this.#deadlineMoved || wake !== this.#deviceWake;
    if (moved || this.#resetWanted || this.#power !== 'on') this.#requestStop(stopReason.event);
    if (this.#frameLeft) this.#requestStop(stopReason.frame);
  }

  #requestStop(reason: number): void {
    const reasons = this.#view.getUint32(run.stopRequest.at, true) | reason;
    this.#view.setUint32(run.stopRequest.at, reasons, true);
  }

  // --- Turns

  /** Makes sure that a hart that can run is in its place. @returns false if every hart waits */
  #giveTurn(): boolean {
    const harts = this.#harts;
    const single = harts.hartCount === 1;
    if ((single || this.#turnLeft > 0n) && this.#canRun(harts.running)) return true;
    for (let step = 1; step <= harts.hartCount; step++) {
      const candidate = (harts.running + step) % harts.hartCount;
      if (!this.#canRun(candidate)) continue;
      // A reservation does not outlive its hart's turn.
      if (!single) harts.forgetReservation();
      const { running } = harts;
      if (candidate !== running) {
        harts.switchTo(candidate);
        this.#engine.switchTranslations(running, candidate);
      }
      this.#turnLeft = turnCounts;
      return true;
    }
    return false;
  }

  /** The hart that executes what comes next, or undefined if all of them wait. */
  get nextHart(): number | undefined {
    const harts = this.#harts;
    const ready = (index: number): boolean =>
      harts.getWord(index, hart.hsmState) === hsm.started &&
      (harts.getWord(index, hart.waiting) === 0 || harts.interruptPending(index));
    const { hartCount, running } = harts;
    if ((hartCount === 1 || this.#turnLeft > 0n) && ready(running)) return running;
    for (let step = 1; step <= hartCount; step++) {
      const candidate = (running + step) % hartCount;
      if (ready(candidate)) return candidate;
    }
    return undefined;
  }

  #canRun(index: number): boolean {
    const harts = this.#harts;
    if (harts.getWord(index, hart.hsmState) !== hsm.started) return false;
    if (harts.getWord(index, hart.waiting) === 0) return true;
    if (!harts.interruptPending(index)) return false;
    harts.setWord(index, hart.waiting, 0);
    return true;
  }

  // --- Timers

  /** Comparators that are set and have not fired. */
  #armedTimers(): Ticks[] {
    const armed: Ticks[] = [];
    for (let index = 0; index < this.#harts.hartCount; index++) {
      const lines = this.#harts.get(index, hart.mipLines);
      const supervisor = this.#harts.get(index, hart.stimecmp);
      const fired = (mask: bigint): boolean => (lines & mask) !== 0n;
      if (this.#supervisorTimer(index) && supervisor !== never && !fired(line.supervisorTimer)) {
        armed.push(supervisor);
      }
      const machine = this.#harts.get(index, hart.mtimecmp);
      if (machine !== never && !fired(line.machineTimer)) armed.push(machine);
    }
    return armed;
  }

  #supervisorTimer(index: number): boolean {
    return this.#harts.get(index, hart.menvcfg) >> 63n === 1n;
  }

  /** A comparator, the clock or a device has changed: lines and the next deadline follow. */
  #timersMoved(): void {
    const now = this.time;
    for (let index = 0; index < this.#harts.hartCount; index++) {
      const supervisor =
        this.#supervisorTimer(index) && now >= this.#harts.get(index, hart.stimecmp);
      this.#harts.setLine(index, line.supervisorTimer, supervisor);
      const machine = now >= this.#harts.get(index, hart.mtimecmp);
      this.#harts.setLine(index, line.machineTimer, machine);
    }
    const device = this.#peripherals.wakeTime();
    if (device !== undefined && device <= now) this.#peripherals.tick();
    this.#deadlineMoved = false;
    this.#deviceWake = this.#peripherals.wakeTime();
    const wake = this.wakeTime;
    this.#nextTimer = wake === undefined ? undefined : this.#clock.countAt(wake);
    if (this.#nextTimer !== undefined && this.#nextTimer <= this.#count) {
      this.#nextTimer = this.#count + 1n;
    }
  }

  #fireTimers(): void {
    if (this.#nextTimer !== undefined && this.#nextTimer <= this.#count) this.#timersMoved();
  }

  // --- Inputs and outputs

  apply(input: Input): void {
    // Nothing reaches a machine that is off: not what was on its way, nor the clock of a new host.
    if (this.#power === 'off') return;
    // A device may write memory that the hart has reserved.
    if (input.kind !== 'clock') this.#harts.forgetReservation();
    if (input.kind === 'clock') {
      assert(input.time >= this.time, 'the clock would run backwards');
      this.#clock.set(this.#count, input);
    } else if (input.kind === 'control' && input.action !== 'power-button') {
      if (input.action === 'power-off') this.#emit({ kind: 'power', action: 'off' });
      else this.#emit({ kind: 'power', action: 'reset' });
    } else {
      this.#peripherals.apply(input);
    }
    if (this.#resetWanted) this.#reset();
    this.#timersMoved();
  }

  /** Inside an input, or inside a store by which a hart tells a device to. */
  #deviceWrites(address: bigint, bytes: Uint8Array): boolean {
    this.#harts.forgetReservation();
    return this.#ram.write(address, bytes);
  }

  takeOutputs(): Output[] {
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  takesSegments(port: number): boolean {
    return this.#peripherals.takesSegments(port);
  }

  pendingDiskRequests(): DiskRequest[] {
    return this.#peripherals.pendingDiskRequests();
  }

  awaitsDiskRequest(disk: number, request: number): boolean {
    return this.#peripherals.awaitsDiskRequest(disk, request);
  }

  #emit(output: DeviceOutput): void {
    const count = this.#countNow();
    if (output.kind === 'console') return this.#emitConsole(output.bytes, count);
    if (output.kind === 'power') {
      if (output.action === 'reset') this.#resetWanted = true;
      else this.#power = 'off';
    }
    if (output.kind === 'frame' && this.#endsAt?.(output.frame)) this.#frameLeft = true;
    this.#outputs.push({ ...output, count });
  }

  /** Bytes that follow each other are one output. */
  #emitConsole(bytes: Uint8Array, count: bigint): void {
    const last = this.#outputs.at(-1);
    if (last?.kind === 'console') {
      const joined = new Uint8Array(last.bytes.length + bytes.length);
      joined.set(last.bytes);
      joined.set(bytes, last.bytes.length);
      this.#outputs[this.#outputs.length - 1] = { ...last, bytes: joined, count };
    } else {
      this.#outputs.push({ kind: 'console', offset: this.#consoleOffset, bytes, count });
    }
    this.#consoleOffset += BigInt(bytes.length);
  }

  /** Inside a run: the count before the instruction at hand. */
  #countNow(): bigint {
    if (this.#runEnd === undefined) return this.#count;
    const left = this.#view.getUint32(run.budgetLeft.at, true);
    const held = this.#view.getUint32(run.budgetHeld.at, true);
    return this.#runEnd - BigInt(left + held) - 1n;
  }

  // --- Power

  #reset(): void {
    const images = this.#parts.bootImages();
    this.#resetWanted = false;
    this.#ram.clear();
    this.#peripherals.reset();
    this.#boot(images);
  }

  #boot(images: readonly BootImage[]): void {
    const parts = this.#parts;
    for (const { address, bytes } of images) {
      const loaded = this.#ram.write(address, bytes);
      assert(loaded, 'boot images fit into RAM');
    }
    this.#harts.setRunning(0);
    for (let index = 0; index < parts.hartCount; index++) {
      if (parts.firmware === 'builtin') {
        startSupervisor(this.#harts, index, parts.entry, parts.deviceTree);
        if (index > 0) this.#harts.setWord(index, hart.hsmState, hsm.stopped);
      } else {
        this.#startMachineMode(index);
      }
    }
    this.#turnLeft = turnCounts;
    this.#engine.flushTranslations();
    this.#timersMoved();
  }

  #startMachineMode(index: number): void {
    const { entry, deviceTree, firmwareInformation } = this.#parts;
    this.#harts.reset(index);
    this.#harts.set(index, hart.pc, entry);
    this.#harts.setX(index, 10, BigInt(index));
    this.#harts.setX(index, 11, deviceTree);
    this.#harts.setX(index, 12, firmwareInformation);
    this.#harts.setWord(index, hart.privilege, 3);
  }

  // --- Debugging

  setTraps(traps: Traps): void {
    this.#traps.set(traps);
  }

  /** What ended the last run, if it was a trap. */
  get trap(): Trap | undefined {
    return this.#traps.met;
  }

  /** Whether the last run ended behind an instruction of `stepHart`. */
  get hartStepped(): boolean {
    return this.#hartStepped;
  }

  /** The next instruction is executed even if it has a breakpoint. */
  passBreakpoint(): void {
    this.#traps.passAt(this.#count);
  }

  /** Bytes of RAM that are kept for going back. */
  get historyBytes(): number {
    return this.#ram.historyBytes;
  }

  /** Marks the present, so that `rewind` can come back here. Outputs must have been taken. */
  keepPoint(): Point {
    assert(this.#outputs.length === 0, 'a point with outputs that nobody has taken');
    return { count: this.#count, state: this.#saveState(), layer: this.#ram.beginLayer() };
  }

  /** Goes back, bit for bit; later points are gone, this one stays. */
  rewind(point: Point): void {
    this.#ram.rewind(point.layer);
    this.#restoreState(point.state);
    this.#outputs = [];
    this.#resetWanted = false;
  }

  /** Earlier and later points stay. */
  forgetPoint(point: Point): void {
    this.#ram.forgetLayer(point.layer);
  }

  // --- State

  fingerprint(): bigint {
    const state = hash64(this.#saveState());
    return BigInt.asUintN(64, state + this.#ram.hash());
  }

  checkpoint(): Checkpoint {
    return this.#checkpoint(this.#ram.beginCheckpoint());
  }

  checkpointSeries(): CheckpointSeries {
    const changes = this.#ram.trackChanges();
    return {
      next: (whole) => {
        const pages = this.#ram.takeChanges(changes);
        return this.#checkpoint(whole ? this.#ram.beginCheckpoint() : this.#ram.beginDelta(pages));
      },
      end: () => this.#ram.endTracking(changes),
    };
  }

  #checkpoint(ram: RamCheckpoint | RamDelta): Checkpoint {
    const count = this.#count;
    let state: Uint8Array | undefined = this.#saveState();
    return {
      count,
      get bytesLeft() {
        return (state?.length ?? 0) + ram.bytesLeft;
      },
      next(bytesMax) {
        if (state === undefined) return ram.next(bytesMax);
        const first = state;
        state = undefined;
        return first;
      },
      cancel: () => ram.cancel(),
    };
  }

  /** Everything but RAM. */
  #saveState(): Uint8Array {
    const writer = new ByteWriter(8192);
    const sample = this.#clock.sample;
    writer.u16(this.#parts.version).u8(this.#parts.hartCount).u64(BigInt(this.#parts.ramBytes));
    writer
      .u64(this.#count)
      .bool(this.#power === 'on')
      .u8(this.#harts.running);
    writer.u64(this.#turnLeft).u64(this.#consoleOffset);
    writer.u64(sample.count).u64(sample.time).u64(sample.rate).u64(sample.span);
    for (let index = 0; index < this.#parts.hartCount; index++) {
      writer.raw(this.#harts.bytes(index));
    }
    this.#peripherals.save(writer);
    return writer.finish();
  }

  #restoreState(bytes: Uint8Array): void {
    const reader = new ByteReader(bytes);
    const parts = this.#parts;
    if (reader.u16() !== parts.version) throw new MalformedBytes('another machine version');
    if (reader.u8() !== parts.hartCount) throw new MalformedBytes('another number of harts');
    if (reader.u64() !== BigInt(parts.ramBytes)) throw new MalformedBytes('another size of RAM');
    this.#count = reader.u64();
    this.#power = reader.bool() ? 'on' : 'off';
    const running = reader.u8();
    if (running >= parts.hartCount) throw new MalformedBytes(`no hart ${running}`);
    this.#turnLeft = reader.u64();
    this.#consoleOffset = reader.u64();
    const [count, time, rate, span] = [reader.u64(), reader.u64(), reader.u64(), reader.u64()];
    const possible = rate > 0n && rate < 1n << 32n && span < 1n << 32n && count <= this.#count;
    if (!possible) throw new MalformedBytes('an impossible clock sample');
    this.#clock.set(count, { time, rate: Number(rate), span: Number(span) });
    this.#harts.setRunning(running);
    for (let index = 0; index < parts.hartCount; index++) {
      this.#harts.setBytes(index, reader.raw(this.#harts.bytes(index).length));
    }
    this.#peripherals.restore(reader);
    reader.end();
    this.#engine.flushTranslations();
    this.#timersMoved();
  }

  /** The other end of a checkpoint: a machine of the same parts, filled chunk by chunk. */
  static restore(parts: MachineParts): Restore {
    return new RiscvMachine(parts, []).become();
  }

  /**
   * The other end of a checkpoint, in place of this machine's own state, which is lost whatever comes
   * of it. What was translated of pages that are the same stays. All points are gone.
   */
  become(): Restore {
    const ram = this.#ram.beginRestore();
    let state: Uint8Array | undefined;
    return {
      add(chunk) {
        if (state === undefined) state = chunk.slice();
        else ram.add(chunk);
      },
      finish: () => {
        if (state === undefined) throw new MalformedBytes('a checkpoint without a state');
        ram.finish();
        this.#restoreState(state);
        this.#outputs = [];
        this.#resetWanted = false;
        return this;
      },
    };
  }
}
