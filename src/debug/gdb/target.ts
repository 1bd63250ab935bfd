/**
 * What the stub debugs: a replay, in which one can go anywhere and change nothing, or a live VM, in
 * which one can go forward and change what nobody records.
 */
import type { Trap, Traps } from '../../machine/debug-traps.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';

export interface Resume {
  readonly direction: 'forward' | 'backward';
  /** Undefined: to the next trap; otherwise one instruction of this hart. */
  readonly stepHart: number | undefined;
  readonly traps: Traps;
}

export type Stopped =
  | { readonly kind: 'trap'; readonly trap: Trap }
  /** One instruction done, or interrupted. */
  | { readonly kind: 'stepped' | 'interrupted' }
  /** The first or last instruction of a recording. */
  | { readonly kind: 'begin' | 'end' }
  /** The machine is off: there is nothing more to debug. */
  | { readonly kind: 'off' };

export interface DebugTarget {
  /** As it stands, between two instructions; only while nothing is resumed. */
  readonly machine: RiscvMachine;
  readonly canGoBack: boolean;
  readonly canChange: boolean;
  resume(resume: Resume): Promise<Stopped>;
  /** Ends the resume under way soon. */
  interrupt(): void;
  /** A command of `monitor`, and what to print for it. */
  monitor(command: string): Promise<string>;
  /** The debugger has gone. */
  detached(): void;
}
