/**
 * Traps, interrupts and the returns from them (privileged manual 20240411, sections 3.1.6 to 3.1.9,
 * 3.3.2 and 3.3.3, 12.1).
 */
import { cause, hart, status } from '../../isa/hart-state.ts';
import {
  environmentCall,
  fenceTranslation,
  machineReturn,
  supervisorReturn,
  waitForInterrupt,
  yieldHart,
} from '../../isa/primitives.ts';
import {
  add,
  and,
  type Builder,
  choose,
  ctz,
  declare,
  type Expr,
  eq,
  eqz,
  get,
  i64,
  ltU,
  ne,
  not,
  or,
  peek,
  shl,
  shrU,
  wrap,
  zext,
} from '../../isa/semantics.ts';
import { run, stopReason } from '../layout.ts';
import { accessKind, translate } from './paging.ts';
import type { PageTracking } from './tracking.ts';

/** Takes the pending trap of the instruction at `hart.pc`. */
export const takeTrap = declare('takeTrap');
/** Takes the interrupt that is due, if any. -> 1 if one was taken */
export const takeInterrupt = declare('takeInterrupt', { gives: 'i32' });
/** (cause with the interrupt bit, value) */
const enterTrap = declare('enterTrap', { takes: ['i64', 'i64'] });

const interruptBit = 1n << 63n;

/** Whether any bit of the mask is set. */
export const has = (bits: Expr, mask: bigint): Expr => ne(and(bits, mask), 0n);
export const illegal = (o: Builder): void => o.trap(cause.illegalInstruction);
const bitIf = (condition: Expr, mask: bigint): Expr => choose(condition, i64(mask), 0n);

export const mip = (): Expr => or(get(hart.mipSoftware), get(hart.mipLines));

/** Where a trap goes: the base, or with vectoring and an interrupt base + 4 * cause. */
function vector(tvec: Expr, trapCause: Expr): Expr {
  const base = and(tvec, -4n);
  const vectored = and(wrap(and(tvec, 1)), wrap(shrU(trapCause, 63)));
  return choose(vectored, add(base, shl(and(trapCause, 0x3f), 2)), base);
}

function defineEnter({ definitions }: PageTracking): void {
  definitions.define(enterTrap, (o, trapCause, value) => {
    const isInterrupt = o.let(wrap(shrU(trapCause!, 63)));
    const number = o.let(and(trapCause!, 0x3f));
    const delegated = choose(isInterrupt, get(hart.mideleg), get(hart.medeleg));
    const toSupervisor = and(wrap(and(shrU(delegated, number), 1)), ltU(get(hart.privilege), 2));
    const before = o.let(get(hart.mstatus));
    const privilege = o.let(get(hart.privilege));
    o.if(
      toSupervisor,
      () => {
        o.put(hart.scause, trapCause!);
        o.put(hart.sepc, get(hart.pc));
        o.put(hart.stval, value!);
        const kept = and(before, ~(status.SIE | status.SPIE | status.SPP));
        const spie = bitIf(has(before, status.SIE), status.SPIE);
        o.put(hart.mstatus, or(kept, or(spie, bitIf(privilege, status.SPP))));
        o.put(hart.privilege, 1);
        o.put(hart.pc, vector(get(hart.stvec), trapCause!));
      },
      () => {
        o.put(hart.mcause, trapCause!);
        o.put(hart.mepc, get(hart.pc));
        o.put(hart.mtval, value!);
        const kept = and(before, ~(status.MIE | status.MPIE | status.MPP));
        const mpie = bitIf(has(before, status.MIE), status.MPIE);
        o.put(hart.mstatus, or(kept, or(mpie, shl(zext(privilege), 11))));
        o.put(hart.privilege, 3);
        o.put(hart.pc, vector(get(hart.mtvec), trapCause!));
      },
    );
  });
}

/** The word of the instruction at `hart.pc`, which has just been fetched without a fault. */
function instructionAt(o: Builder, tracking: PageTracking): Expr {
  const pc = o.let(get(hart.pc));
  o.put(run.accessBytes, 2);
  const low = o.call(translate, pc, accessKind.fetch);
  const word = o.let(peek('u16', tracking.host(low)));
  o.if(eq(and(word, 3), 3n), () => {
    const high = o.call(translate, add(pc, 2), accessKind.fetch);
    o.set(word, or(word, shl(peek('u16', tracking.host(high)), 16)));
  });
  return word;
}

function defineTake(tracking: PageTracking): void {
  const { definitions } = tracking;
  const illegalWord = declare('illegalWord', { gives: 'i64', mayTrap: true });
  definitions.define(illegalWord, (o) => o.return(instructionAt(o, tracking)));

  definitions.define(takeTrap, (o) => {
    const trapCause = o.let(get(run.faultCause));
    const value = o.let(get(run.faultValue));
    o.put(run.fault, 0);
    // An illegal instruction shows itself in the trap value.
    o.if(eq(trapCause, BigInt(cause.illegalInstruction)), () =>
      o.set(value, o.callUnchecked(illegalWord)),
    );
    o.put(run.fault, 0);
    o.call(enterTrap, trapCause, value);
  });

  definitions.define(takeInterrupt, (o) => {
    const pending = o.let(and(mip(), get(hart.mie)));
    o.if(eqz(pending), () => o.return(0, 'i32'));
    const mstatus = o.let(get(hart.mstatus));
    const privilege = o.let(get(hart.privilege));
    const machine = o.let(and(pending, not(get(hart.mideleg))));
    const supervisor = o.let(and(pending, get(hart.mideleg)));
    const machineOn = or(ltU(privilege, 3), has(mstatus, status.MIE));
    const supervisorOn = or(eqz(privilege), and(eq(privilege, 1), has(mstatus, status.SIE)));
    const due = o.let(i64(0));
    o.if(supervisorOn, () => o.set(due, supervisor));
    o.if(and(machineOn, ne(machine, 0n)), () => o.set(due, machine));
    o.if(eqz(due), () => o.return(0, 'i32'));
    // MEI, MSI, MTI, SEI, SSI, STI: external before software before timer, machine first.
    const number = o.let(ctz(due));
    for (const candidate of [5, 1, 9, 7, 3, 11]) {
      o.if(has(due, 1n << BigInt(candidate)), () => o.set(number, i64(candidate)));
    }
    o.call(enterTrap, or(number, interruptBit), 0);
    o.return(1, 'i32');
  });
}

function defineReturns({ definitions }: PageTracking): void {
  definitions.define(machineReturn, (o) => {
    o.if(ne(get(hart.privilege), 3), () => illegal(o));
    const before = o.let(get(hart.mstatus));
    const previous = o.let(wrap(and(shrU(before, 11), 3)));
    const kept = o.let(and(before, ~(status.MIE | status.MPIE | status.MPP)));
    const mie = bitIf(has(before, status.MPIE), status.MIE);
    o.put(hart.mstatus, or(kept, or(mie, status.MPIE)));
    o.if(ne(previous, 3), () => o.put(hart.mstatus, and(get(hart.mstatus), ~status.MPRV)));
    o.put(hart.privilege, previous);
    o.return(get(hart.mepc));
  });
  definitions.define(supervisorReturn, (o) => {
    const before = o.let(get(hart.mstatus));
    o.if(eqz(get(hart.privilege)), () => illegal(o));
    o.if(and(eq(get(hart.privilege), 1), has(before, status.TSR)), () => illegal(o));
    const kept = o.let(and(before, ~(status.SIE | status.SPIE | status.SPP | status.MPRV)));
    const sie = bitIf(has(before, status.SPIE), status.SIE);
    o.put(hart.mstatus, or(kept, or(sie, status.SPIE)));
    o.put(hart.privilege, wrap(and(shrU(before, 8), 1)));
    o.return(get(hart.sepc));
  });
}

const request = (o: Builder, reason: number): void =>
  o.put(run.stopRequest, or(get(run.stopRequest), reason));

function defineOthers({ definitions }: PageTracking): void {
  definitions.define(waitForInterrupt, (o) => {
    const privilege = o.let(get(hart.privilege));
    o.if(eqz(privilege), () => illegal(o));
    const timeout = has(get(hart.mstatus), status.TW);
    o.if(and(ltU(privilege, 3), timeout), () => illegal(o));
    o.if(eqz(and(mip(), get(hart.mie))), () => {
      o.put(hart.waiting, 1);
      request(o, stopReason.wait);
    });
  });
  definitions.define(yieldHart, (o) => request(o, stopReason.yield));
  definitions.define(fenceTranslation, (o) => {
    const virtualised = has(get(hart.mstatus), status.TVM);
    o.if(eqz(get(hart.privilege)), () => illegal(o));
    o.if(and(eq(get(hart.privilege), 1), virtualised), () => illegal(o));
  });
  definitions.define(environmentCall, (o) => {
    const privilege = o.let(get(hart.privilege));
    o.if(and(eq(privilege, 1), get(run.builtinFirmware)), () => {
      request(o, stopReason.firmware);
      o.return();
    });
    o.trapWith(add(zext(privilege), BigInt(cause.userCall)), i64(0));
  });
}

export function defineTraps(tracking: PageTracking): void {
  defineEnter(tracking);
  defineTake(tracking);
  defineReturns(tracking);
  defineOthers(tracking);
}
