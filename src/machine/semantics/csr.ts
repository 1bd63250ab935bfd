/**
 * Control and status registers: one row each (privileged manual 20240411, chapter 2; Sstc;
 * Zicntr). What is not listed does not exist and is illegal.
 */
import { hart, pmpaddrAt, pmpcfgAt, pmpEntries, status } from '../../isa/hart-state.ts';
import { csrAccess } from '../../isa/primitives.ts';
import {
  add,
  and,
  type Builder,
  choose,
  declare,
  type Expr,
  eq,
  eqz,
  type Field,
  get,
  geU,
  i32,
  i64,
  ltU,
  mul,
  ne,
  not,
  or,
  peek,
  shl,
  shrU,
  sub,
  wrap,
  zext,
} from '../../isa/semantics.ts';
import { csrIndexAt, run, stopReason } from '../layout.ts';
import { flushTlb } from './lookaside.ts';
import type { PageTracking } from './tracking.ts';
import { has, illegal, mip } from './trap.ts';

export interface Csr {
  readonly number: number;
  readonly name: string;
  read(o: Builder): Expr;
  /** Undefined: writes are legal and ignored (or illegal, if the number says read-only). */
  write?(o: Builder, value: Expr): void;
  /** A condition beyond the privilege in the number; if it fails, the access is illegal. */
  allowed?(o: Builder): Expr;
}

/** The machine's count before the present instruction. */
export const currentCount = declare('currentCount', { gives: 'i64' });
/** The guest's clock at a count: see ClockInput. */
export const timeAt = declare('timeAt', { takes: ['i64'], gives: 'i64' });

const SSIP = 1n << 1n;
const STIP = 1n << 5n;
const SEIP = 1n << 9n;
const supervisorInterrupts = SSIP | STIP | SEIP;
const machineInterrupts = (1n << 3n) | (1n << 7n) | (1n << 11n);

const read = (field: Field): Expr => (field.access === 'word' ? zext(get(field)) : get(field));
const masked = (old: Expr, value: Expr, mask: bigint): Expr =>
  or(and(old, ~mask), and(value, mask));

/** A register that is a plain field: bits of `mask` can be written. */
function plain(number: number, name: string, field: Field, mask = -1n): Csr {
  return {
    number,
    name,
    read: () => read(field),
    write: (o, value) => {
      const next = masked(read(field), value, mask);
      o.put(field, field.access === 'word' ? wrap(next) : next);
    },
  };
}
const constant = (number: number, name: string, value: bigint): Csr => ({
  number,
  name,
  read: () => i64(value),
});

const requestEvent = (o: Builder): void =>
  o.put(run.stopRequest, or(get(run.stopRequest), stopReason.event));

// --- Status

const mstatusWritable =
  status.SIE |
  status.MIE |
  status.SPIE |
  status.MPIE |
  status.SPP |
  status.FS |
  status.MPRV |
  status.SUM |
  status.MXR |
  status.TVM |
  status.TW |
  status.TSR;
const sstatusWritable = status.SIE | status.SPIE | status.SPP | status.FS | status.SUM | status.MXR;
const sstatusVisible = sstatusWritable | status.UXL;

/** SD summarises FS; the widths of U and S are fixed at 64 bits. */
function readStatus(): Expr {
  const dirty = choose(eq(and(get(hart.mstatus), status.FS), status.FS), i64(status.SD), 0n);
  return or(get(hart.mstatus), dirty);
}

function writeStatus(o: Builder, value: Expr, writable: bigint): void {
  const old = o.let(get(hart.mstatus));
  const next = o.let(masked(old, value, writable));
  if (writable & status.MPRV) {
    // MPP holds a privilege that exists; a write of 2 changes nothing.
    const mpp = and(value, status.MPP);
    const legal = ne(mpp, 2n << 11n);
    o.set(next, or(and(next, ~status.MPP), choose(legal, mpp, and(old, status.MPP))));
  }
  o.put(hart.mstatus, next);
  o.if(has(and(or(old, next), not(and(old, next))), status.MXR), () => o.call(flushTlb));
}

// --- Interrupts

function writeMip(o: Builder, value: Expr, mask: bigint): void {
  // With Sstc enabled the comparator alone drives STIP.
  const writable = choose(stimecmpEnabled(), i64(mask & ~STIP), mask);
  const allowed = o.let(writable);
  o.put(hart.mipSoftware, or(and(get(hart.mipSoftware), not(allowed)), and(value, allowed)));
}

const stimecmpEnabled = (): Expr => has(get(hart.menvcfg), 1n << 63n);

// --- Counters

/** Bit `index` of mcounteren, and for user code of scounteren too, opens a counter. */
const counterAllowed = (index: number) => (): Expr => {
  const machine = ne(and(get(hart.mcounteren), 1 << index), 0);
  const supervisor = ne(and(get(hart.scounteren), 1 << index), 0);
  const privilege = get(hart.privilege);
  return or(eq(privilege, 3), and(machine, or(eq(privilege, 1), supervisor)));
};

function defineClock({ definitions }: PageTracking): void {
  definitions.define(currentCount, (o) =>
    // The instruction at hand has its budget already taken.
    o.return(sub(sub(get(run.end), zext(add(get(run.budgetLeft), get(run.budgetHeld)))), 1)),
  );
  definitions.define(timeAt, (o, count) => {
    const elapsed = o.let(sub(count!, get(run.clockCount)));
    const span = o.let(get(run.clockSpan));
    const rate = get(run.clockRate);
    // elapsed * rate / 2^24, exact: elapsed in two parts so that nothing overflows.
    const scaled = (counts: Expr): Expr =>
      add(mul(shrU(counts, 24), rate), shrU(mul(and(counts, 0xff_ffff), rate), 24));
    o.if(geU(span, elapsed), () => o.return(add(get(run.clockTime), scaled(elapsed))));
    const beyond = o.let(sub(elapsed, span));
    const slow = shrU(add(scaled(beyond), 0), 4);
    o.return(add(get(run.clockTime), add(scaled(span), slow)));
  });
}

const timeNow = (o: Builder): Expr => o.call(timeAt, o.call(currentCount));

const counters: readonly Csr[] = [
  ...(['cycle', 'instret'] as const).flatMap((name): Csr[] => {
    const low = name === 'cycle' ? 0 : 2;
    const offset = name === 'cycle' ? hart.cycleOffset : hart.instretOffset;
    const value = (o: Builder): Expr => add(o.call(currentCount), get(offset));
    return [
      {
        number: 0xb00 + low,
        name: `m${name}`,
        read: value,
        // What is written is what the next instruction reads: this one does not count on top.
        write: (o, wanted) => o.put(offset, sub(sub(wanted, o.call(currentCount)), 1)),
      },
      { number: 0xc00 + low, name, read: value, allowed: counterAllowed(low) },
    ];
  }),
  { number: 0xc01, name: 'time', read: timeNow, allowed: counterAllowed(1) },
  ...Array.from({ length: 29 }, (_, index): Csr[] => [
    constant(0xb03 + index, `mhpmcounter${index + 3}`, 0n),
    constant(0x323 + index, `mhpmevent${index + 3}`, 0n),
    {
      ...constant(0xc03 + index, `hpmcounter${index + 3}`, 0n),
      allowed: counterAllowed(index + 3),
    },
  ]).flat(),
];

// --- Floating point

const floatOn = (): Expr => has(get(hart.mstatus), status.FS);

function floatCsrs(): Csr[] {
  const dirty = (o: Builder): void => o.put(hart.mstatus, or(get(hart.mstatus), status.FS));
  const rows: Csr[] = [
    {
      number: 0x001,
      name: 'fflags',
      read: () => read(hart.fflags),
      write: (o, value) => o.put(hart.fflags, and(wrap(value), 0x1f)),
    },
    {
      number: 0x002,
      name: 'frm',
      read: () => read(hart.frm),
      write: (o, value) => o.put(hart.frm, and(wrap(value), 7)),
    },
    {
      number: 0x003,
      name: 'fcsr',
      read: () => or(shl(read(hart.frm), 5), read(hart.fflags)),
      write: (o, value) => {
        o.put(hart.fflags, and(wrap(value), 0x1f));
        o.put(hart.frm, and(wrap(shrU(value, 5)), 7));
      },
    },
  ];
  return rows.map((csr) => ({
    ...csr,
    allowed: floatOn,
    write: (o, value) => {
      csr.write!(o, value);
      dirty(o);
    },
  }));
}

// --- Protection and translation

function pmpCsrs(t: PageTracking): Csr[] {
  const changed = declare('pmpChanged');
  const { definitions } = t;
  definitions.define(changed, (o) => {
    const active = o.let(i32(0));
    for (let index = 0; index < pmpEntries; index++) {
      const mode = and(peek('byte', i32(pmpcfgAt + index)), 0x18);
      o.set(active, add(active, ne(mode, 0)));
    }
    o.put(hart.pmpCount, active);
    o.call(flushTlb);
  });
  const locked = (index: number): Expr => ne(and(peek('byte', i32(pmpcfgAt + index)), 0x80), 0);
  /** A locked TOR entry locks the address below it too. */
  const lockedByNext = (index: number): Expr =>
    index + 1 < pmpEntries ? eq(and(peek('byte', i32(pmpcfgAt + index + 1)), 0x98), 0x88) : i32(0);
  const config = (register: number): Csr => ({
    number: 0x3a0 + register,
    name: `pmpcfg${register}`,
    read: () => peek('u64', i32(pmpcfgAt + register * 4)),
    write: (o, value) => {
      for (let byte = 0; byte < 8; byte++) {
        const index = register * 4 + byte;
        const wanted = o.let(and(wrap(shrU(value, byte * 8)), 0x9f));
        // W without R is reserved: such a write changes nothing.
        const reserved = eq(and(wanted, 3), 2);
        o.if(eqz(or(locked(index), reserved)), () => o.poke('byte', i32(pmpcfgAt + index), wanted));
      }
      o.call(changed);
    },
  });
  const address = (index: number): Csr => ({
    number: 0x3b0 + index,
    name: `pmpaddr${index}`,
    read: () => peek('u64', i32(pmpaddrAt + index * 8)),
    write: (o, value) => {
      o.if(eqz(or(locked(index), lockedByNext(index))), () =>
        o.poke('u64', i32(pmpaddrAt + index * 8), and(value, (1n << 54n) - 1n)),
      );
      o.call(changed);
    },
  });
  return [
    config(0),
    config(2),
    ...Array.from({ length: pmpEntries }, (_, index) => address(index)),
  ];
}

function satpCsr(): Csr {
  return {
    number: 0x180,
    name: 'satp',
    read: () => get(hart.satp),
    // WARL: a mode that is not supported leaves the register as it was.
    write: (o, value) => {
      const mode = o.let(wrap(shrU(value, 60)));
      const known = or(eqz(mode), or(eq(mode, 8), eq(mode, 9)));
      o.if(and(known, ne(get(hart.satp), value)), () => {
        o.put(hart.satp, value);
        o.call(flushTlb);
      });
    },
    allowed: () => or(eq(get(hart.privilege), 3), eqz(wrap(and(shrU(get(hart.mstatus), 20), 1)))),
  };
}

// --- All of them

/** RV64 with A, C, D, F, I, M, S, U. */
const misa = (2n << 62n) | 0x14112dn;

function allCsrs(t: PageTracking): readonly Csr[] {
  const delegable = 0xb3ffn;
  return [
    ...floatCsrs(),
    ...counters,
    {
      number: 0x100,
      name: 'sstatus',
      read: () => and(readStatus(), sstatusVisible | status.SD),
      write: (o, value) => writeStatus(o, value, sstatusWritable),
    },
    {
      number: 0x104,
      name: 'sie',
      read: () => and(get(hart.mie), get(hart.mideleg)),
      write: (o, value) => {
        const mask = o.let(get(hart.mideleg));
        o.put(hart.mie, or(and(get(hart.mie), not(mask)), and(value, mask)));
      },
    },
    plain(0x105, 'stvec', hart.stvec, ~2n),
    plain(0x106, 'scounteren', hart.scounteren, 0xffff_ffffn),
    plain(0x10a, 'senvcfg', hart.senvcfg, 1n),
    plain(0x140, 'sscratch', hart.sscratch),
    plain(0x141, 'sepc', hart.sepc, ~1n),
    plain(0x142, 'scause', hart.scause),
    plain(0x143, 'stval', hart.stval),
    {
      number: 0x144,
      name: 'sip',
      read: () => and(mip(), get(hart.mideleg)),
      write: (o, value) => {
        const mask = o.let(and(get(hart.mideleg), SSIP));
        o.put(hart.mipSoftware, or(and(get(hart.mipSoftware), not(mask)), and(value, mask)));
      },
    },
    {
      number: 0x14d,
      name: 'stimecmp',
      read: () => get(hart.stimecmp),
      write: (o, value) => {
        o.put(hart.stimecmp, value);
        requestEvent(o);
      },
      allowed: () =>
        or(eq(get(hart.privilege), 3), and(stimecmpEnabled(), ne(and(get(hart.mcounteren), 2), 0))),
    },
    satpCsr(),
    {
      number: 0x300,
      name: 'mstatus',
      read: readStatus,
      write: (o, value) => writeStatus(o, value, mstatusWritable),
    },
    constant(0x301, 'misa', misa),
    plain(0x302, 'medeleg', hart.medeleg, delegable),
    plain(0x303, 'mideleg', hart.mideleg, supervisorInterrupts),
    plain(0x304, 'mie', hart.mie, supervisorInterrupts | machineInterrupts),
    plain(0x305, 'mtvec', hart.mtvec, ~2n),
    plain(0x306, 'mcounteren', hart.mcounteren, 0xffff_ffffn),
    {
      number: 0x30a,
      name: 'menvcfg',
      read: () => get(hart.menvcfg),
      write: (o, value) => {
        // STCE and FIOM.
        o.put(hart.menvcfg, and(value, (1n << 63n) | 1n));
        // From now on the comparator alone drives STIP: what software wrote is gone.
        o.if(stimecmpEnabled(), () => o.put(hart.mipSoftware, and(get(hart.mipSoftware), ~STIP)));
        requestEvent(o);
      },
    },
    plain(0x320, 'mcountinhibit', hart.mcountinhibit, 0n),
    plain(0x340, 'mscratch', hart.mscratch),
    plain(0x341, 'mepc', hart.mepc, ~1n),
    plain(0x342, 'mcause', hart.mcause),
    plain(0x343, 'mtval', hart.mtval),
    {
      number: 0x344,
      name: 'mip',
      read: mip,
      write: (o, value) => writeMip(o, value, supervisorInterrupts),
    },
    ...pmpCsrs(t),
    constant(0xf11, 'mvendorid', 0n),
    constant(0xf12, 'marchid', 0n),
    constant(0xf13, 'mimpid', 0n),
    { number: 0xf14, name: 'mhartid', read: () => zext(get(run.hartId)) },
    constant(0xf15, 'mconfigptr', 0n),
  ];
}

/** @returns the bytes of the index table that belong at `csrIndexAt` */
export function defineCsrs(tracking: PageTracking): Uint8Array {
  const { definitions } = tracking;
  defineClock(tracking);
  const csrs = allCsrs(tracking);
  const index = new Uint8Array(4096);
  for (const [position, csr] of csrs.entries()) index[csr.number] = position + 1;
  const reader = declare('csrRead', { takes: ['i32'], gives: 'i64', mayTrap: true });
  const writer = declare('csrWrite', { takes: ['i32', 'i64'] });
  definitions.define(reader, (o, position) => {
    o.switch(
      position!,
      csrs.map((csr) => () => {
        if (csr.allowed) o.if(eqz(csr.allowed(o)), () => illegal(o));
        o.return(csr.read(o));
      }),
      () => illegal(o),
    );
    o.return(0);
  });
  definitions.define(writer, (o, position, value) => {
    o.switch(
      position!,
      csrs.map((csr) => () => csr.write?.(o, value!)),
      () => {},
    );
  });
  definitions.define(csrAccess, (o, number, operand, mode) => {
    const position = o.let(sub(peek('byte', number!, csrIndexAt), 1));
    const needed = and(shrU(number!, 8), 3);
    o.if(ltU(get(hart.privilege), needed), () => illegal(o));
    const writes = ne(mode!, 3);
    o.if(and(writes, eq(and(shrU(number!, 10), 3), 3)), () => illegal(o));
    const old = o.call(reader, position);
    o.if(eq(mode!, 3), () => o.return(old));
    // SEIP: what software has written, not the wire, takes part in read-modify-write.
    const base = o.let(old);
    o.if(eq(number!, 0x344), () => {
      o.set(base, or(and(old, ~SEIP), and(get(hart.mipSoftware), SEIP)));
    });
    const value = o.let(operand!);
    o.if(eq(mode!, 1), () => o.set(value, or(base, operand!)));
    o.if(eq(mode!, 2), () => o.set(value, and(base, not(operand!))));
    o.call(writer, position, value);
    o.return(old);
  });
  return index;
}
