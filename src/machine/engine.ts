/**
 * The seam between the machine and what executes its instructions. An engine retires instructions
 * of the hart at address 0 of linear memory, within a budget, exactly; which tier ran what, and
 * when, cannot be observed. A second tier is an addition behind this interface.
 */
import type { Layout } from './layout.ts';

export interface EngineHost {
  /** @returns the value, or undefined where nobody answers (an access fault) */
  deviceLoad(physical: bigint, bytes: number): bigint | undefined;
  /** @returns whether somebody answers */
  deviceStore(physical: bigint, bytes: number, value: bigint): boolean;
  /** The page is about to change while a checkpoint still wants its content. */
  preservePage(page: number): void;
  /**
   * The instruction at `hart.pc`, which has a breakpoint, is about to be executed; its budget has
   * been taken. @returns whether the run ends in front of it
   */
  breakpointHere(): boolean;
  /**
   * Data were accessed in a page that may be watched (`run.watchedPages`), by the instruction at
   * hand, which will not trap. @returns whether the run ends behind it
   */
  dataAccessed(address: bigint, bytes: number, isStore: boolean): boolean;
}

export interface Engine {
  readonly memory: Uint8Array<ArrayBuffer>;
  /**
   * Runs the hart until the budget is used up or `run.stopRequest` is set. The caller has set
   * `run.end` to the count at which the budget ends.
   * @returns the budget that is left
   */
  run(budget: number): number;
  /** Somebody other than a hart is about to store into a page of RAM. */
  noteStore(page: number): void;
  /** From now on stores into this page are noticed: the flag has been set by the caller. */
  protectPage(page: number): void;
  /** Drops every cached translation. */
  flushTranslations(): void;
  /** Another hart is at address 0 from now on: translations are cached for each. */
  switchTranslations(from: number, to: number): void;
  /** Drops decoded code: RAM has been replaced. */
  flushCode(): void;
  /**
   * Where instructions have breakpoints from now on: virtual addresses, in whatever address space.
   * What is elsewhere runs as fast as before.
   */
  setBreakpoints(addresses: ReadonlySet<bigint>): void;
  /** The guest's clock at a count, from the clock fields in linear memory. */
  timeAt(count: bigint): bigint;
  /** 64 bits over a page of RAM. */
  hashPage(page: number): bigint;
}

export type EngineMaker = (layout: Layout, host: EngineHost) => Engine;
