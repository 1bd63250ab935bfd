/**
 * RTC: the goldfish real-time clock, nanoseconds since the Unix epoch.
 *
 * Wall-clock time is computed, not read: the epoch offset (a power-on input) plus the guest's clock
 * at 100 ns a tick plus what the guest has set it forward. Registers: QEMU's goldfish documentation,
 * section "Goldfish real-time clock". A read of the low half latches the high one.
 *
 * Alarms: an alarm in the past fires at once. One in the future fires when the machine calls `tick`
 * at or after `wakeTime`; a machine that never does has a clock without alarms, which Linux accepts.
 * What the guest has set survives a reset, as with a clock that has a battery.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { AccessSize, Device, DeviceContext } from '../machine/device.ts';
import type { Ticks } from '../machine/effects.ts';

const TIME_LOW = 0x00;
const TIME_HIGH = 0x04;
const ALARM_LOW = 0x08;
const ALARM_HIGH = 0x0c;
const IRQ_ENABLED = 0x10;
const CLEAR_ALARM = 0x14;
const ALARM_STATUS = 0x18;
const CLEAR_INTERRUPT = 0x1c;

const nanosecondsPerTick = 100n;
const low32 = 0xffff_ffffn;

export interface RtcConfiguration {
  /** Wall-clock time at tick 0 of the guest's clock, in nanoseconds since the Unix epoch. */
  readonly epochOffset: bigint;
}

export class Rtc implements Device {
  readonly #epochOffset: bigint;
  readonly #context: DeviceContext;
  /** Nanoseconds by which the guest has set the clock, modulo 2^64. */
  #adjustment = 0n;
  #latchedHigh = 0;
  #alarm = 0n;
  #alarmRunning = false;
  #interruptEnabled = false;
  #interruptPending = false;

  constructor(configuration: RtcConfiguration, context: DeviceContext) {
    this.#epochOffset = configuration.epochOffset;
    this.#context = context;
  }

  /** When `tick` is due, as the guest's clock: the first tick at or after the alarm. */
  get wakeTime(): Ticks | undefined {
    if (!this.#alarmRunning) return undefined;
    const remaining = this.#alarm - this.#now();
    if (remaining <= 0n) return this.#context.now();
    return this.#context.now() + (remaining + nanosecondsPerTick - 1n) / nanosecondsPerTick;
  }

  /** Fires the alarm if it is due. */
  tick(): void {
    if (!this.#alarmRunning || this.#now() < this.#alarm) return;
    this.#alarmRunning = false;
    this.#interruptPending = true;
    this.#update();
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    switch (offset) {
      case TIME_LOW: {
        const now = this.#now();
        this.#latchedHigh = Number(now >> 32n);
        return Number(now & low32);
      }
      case TIME_HIGH:
        return this.#latchedHigh;
      case ALARM_LOW:
        return Number(this.#alarm & low32);
      case ALARM_HIGH:
        return Number(this.#alarm >> 32n);
      case IRQ_ENABLED:
        return this.#interruptEnabled ? 1 : 0;
      case ALARM_STATUS:
        return this.#alarmRunning ? 1 : 0;
      default:
        return 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    const bits = BigInt(value);
    switch (offset) {
      case TIME_LOW:
        this.#set((now) => (now & ~low32) | bits);
        break;
      case TIME_HIGH:
        this.#set((now) => (now & low32) | (bits << 32n));
        break;
      case ALARM_LOW: // Drivers write the high half first; the low half arms.
        this.#alarm = (this.#alarm & ~low32) | bits;
        this.#alarmRunning = true;
        this.tick();
        break;
      case ALARM_HIGH:
        this.#alarm = (this.#alarm & low32) | (bits << 32n);
        break;
      case IRQ_ENABLED:
        this.#interruptEnabled = (value & 1) === 1;
        break;
      case CLEAR_ALARM:
        this.#alarmRunning = false;
        break;
      case CLEAR_INTERRUPT:
        this.#interruptPending = false;
        break;
      default:
    }
    this.#update();
  }

  reset(): void {
    this.#latchedHigh = 0;
    this.#alarm = 0n;
    this.#alarmRunning = false;
    this.#interruptEnabled = false;
    this.#interruptPending = false;
    this.#update();
  }

  save(writer: ByteWriter): void {
    writer.u64(this.#adjustment).u32(this.#latchedHigh).u64(this.#alarm);
    writer.bool(this.#alarmRunning).bool(this.#interruptEnabled).bool(this.#interruptPending);
  }

  restore(reader: ByteReader): void {
    this.#adjustment = reader.u64();
    this.#latchedHigh = reader.u32();
    this.#alarm = reader.u64();
    this.#alarmRunning = reader.bool();
    this.#interruptEnabled = reader.bool();
    this.#interruptPending = reader.bool();
  }

  #now(): bigint {
    const ticked = this.#context.now() * nanosecondsPerTick;
    return BigInt.asUintN(64, this.#epochOffset + ticked + this.#adjustment);
  }

  #set(change: (now: bigint) => bigint): void {
    const now = this.#now();
    this.#adjustment = BigInt.asUintN(64, this.#adjustment + change(now) - now);
  }

  #update(): void {
    this.#context.setInterrupt(this.#interruptPending && this.#interruptEnabled);
  }
}
