/**
 * What a center has in mind while it leads and nowhere else: what daemons have said of a moment, and
 * what it has just done. None of it is true of another time of leading, so it is made anew whenever
 * the lead is taken, and given up when it is lost: a new field needs no line that forgets it.
 */
import type { FtStatusView, VmView } from '../api/views.ts';
import { ConsoleLog } from './console-log.ts';
import { ConsoleTyping } from './console-typing.ts';
import { Rates } from './rates.ts';

export class LeaderMemory {
  /** Since when; milliseconds of the process's monotonic clock, as all times here. */
  readonly startedAt = performance.now();
  readonly rates = new Rates();
  /** Daemon -> how far its clock was ahead, the last few times. */
  readonly clocks = new Map<string, number[]>();
  /** VM -> the host whose live copy cannot reach the arbiter. */
  readonly arbiterSilent = new Map<string, string>();
  /** When the arbiter last changed a VM's record. */
  readonly decidedAt = new Map<string, number>();
  /** `VM HOST` -> until when. */
  readonly avoid = new Map<string, number>();
  readonly shown = new Map<string, FtStatusView['state']>();
  readonly obstacles = new Map<string, string>();
  readonly refusedHandOvers = new Map<string, string>();
  /** VMs whose hand-over has been ordered and is awaited. */
  readonly handingOver = new Set<string>();
  /** Migrations that run, by VM, as people are shown them. */
  readonly migrations = new Map<string, VmView['migration']>();
  readonly #consoles = new Map<string, ConsoleLog>();
  /** Of VMs on whose consoles somebody has typed. */
  readonly typings = new Map<string, ConsoleTyping>();

  console(vm: string): ConsoleLog {
    const console = this.#consoles.get(vm) ?? new ConsoleLog();
    this.#consoles.set(vm, console);
    return console;
  }

  typing(vm: string): ConsoleTyping {
    const typing = this.typings.get(vm) ?? new ConsoleTyping();
    this.typings.set(vm, typing);
    return typing;
  }

  forgetConsole(vm: string): void {
    this.#consoles.delete(vm);
    this.typings.delete(vm);
  }
}
