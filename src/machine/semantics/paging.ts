/**
 * Address translation: Sv39, Sv48 and bare, with hardware update of the A and D bits (privileged
 * manual 20240411, sections 12.3 to 12.5), and the physical memory protection behind it.
 *
 * Every access behaves as if freshly walked. The lookaside buffers are caches that cannot be seen:
 * a page from which the walker has read is flagged, and a store into it drops what was derived.
 */
import { cause, hart, pmpaddrAt, pmpcfgAt, pmpEntries, status } from '../../isa/hart-state.ts';
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
  geU,
  i32,
  i64,
  leU,
  ltU,
  ne,
  not,
  or,
  peek,
  shl,
  shrS,
  shrU,
  sub,
  wrap,
  zext,
} from '../../isa/semantics.ts';
import { run } from '../layout.ts';
import type { PageTracking } from './tracking.ts';

/** The kinds of access, as `translate` takes them. */
export const accessKind = { read: 0, write: 1, fetch: 2 } as const;

const pte = {
  V: 1,
  R: 2,
  W: 4,
  X: 8,
  U: 16,
  A: 64,
  D: 128,
  /** Reserved without Svnapot and Svpbmt. */
  reserved: 0xffc0_0000_0000_0000n,
} as const;

/** (address, bytes, privilege) -> allowed R=1 W=2 X=4 of a range, 0 if an entry covers it partly. */
export const pmpAllows = declare('pmpAllows', { takes: ['i64', 'i64', 'i32'], gives: 'i32' });
/** The privilege at which loads and stores are made (MPRV). -> 0, 1 or 3 */
export const dataPrivilege = declare('dataPrivilege', { gives: 'i32' });
/** (virtual address, access kind) -> physical address; sets `run.pageUniform`. */
export const translate = declare('translate', {
  takes: ['i64', 'i32'],
  gives: 'i64',
  mayTrap: true,
});

function definePmp({ definitions }: PageTracking): void {
  definitions.define(pmpAllows, (o, address, bytes, privilege) => {
    const none = choose(eq(privilege, 3), 7, choose(eqz(get(hart.pmpCount)), i32(7), 0));
    o.if(eqz(get(hart.pmpCount)), () => o.return(7, 'i32'));
    const first = address!;
    const last = o.let(add(address!, sub(bytes!, 1)));
    const index = o.let(i32(0));
    const previous = o.let(i64(0));
    o.while(
      () => ltU(index, pmpEntries),
      () => {
        const config = o.let(peek('byte', index, pmpcfgAt));
        const raw = o.let(peek('u64', shl(index, 3), pmpaddrAt));
        const mode = o.let(and(shrU(config, 3), 3));
        // First and last byte of the entry's range; an empty range has low above high.
        const low = o.let(i64(1));
        const high = o.let(i64(0));
        o.if(eq(mode, 1), () => {
          o.set(low, shl(previous, 2));
          o.set(high, sub(shl(raw, 2), 1));
          o.if(geU(previous, raw), () => {
            o.set(low, 1);
            o.set(high, 0);
          });
        });
        o.if(eq(mode, 2), () => {
          o.set(low, shl(raw, 2));
          o.set(high, add(low, 3));
        });
        o.if(eq(mode, 3), () => {
          const ones = o.let(ctz(not(raw)));
          const size = o.let(shl(i64(8), ones));
          o.set(low, and(shl(raw, 2), not(sub(size, 1))));
          o.set(high, add(low, sub(size, 1)));
          o.if(geU(ones, 54), () => {
            o.set(low, 0);
            o.set(high, -1);
          });
        });
        const overlaps = and(leU(low, high), and(leU(low, last), leU(first, high)));
        o.if(overlaps, () => {
          o.if(eqz(and(leU(low, first), leU(last, high))), () => o.return(0, 'i32'));
          const unlocked = eqz(and(config, 0x80));
          o.if(and(eq(privilege, 3), unlocked), () => o.return(7, 'i32'));
          o.return(and(config, 7));
        });
        o.set(previous, raw);
        o.set(index, add(index, 1));
      },
    );
    o.return(none);
  });
}

function pageFault(o: Builder, access: Expr, address: Expr): void {
  const read = i64(cause.loadPage);
  const other = choose(eq(access, accessKind.write), i64(cause.storePage), cause.instructionPage);
  o.trapWith(choose(eq(access, accessKind.read), read, other), address);
}

/** An access fault for an access of this kind. */
export function accessFault(o: Builder, access: Expr, address: Expr): void {
  const other = choose(
    eq(access, accessKind.write),
    i64(cause.storeAccess),
    cause.instructionAccess,
  );
  o.trapWith(choose(eq(access, accessKind.read), i64(cause.loadAccess), other), address);
}

/** Leaves the routine with a physical address, once PMP allows the access. */
function finish(o: Builder, va: Expr, pa: Expr, access: Expr, privilege: Expr): void {
  const wanted = shl(i32(1), access);
  const page = o.let(and(pa, -4096));
  const whole = o.let(o.call(pmpAllows, page, 4096, privilege));
  o.put(run.pageUniform, ne(and(whole, wanted), 0));
  o.if(eqz(and(whole, wanted)), () => {
    // Not all of the page alike: decide for the bytes at hand.
    const exact = o.call(pmpAllows, pa, zext(get(run.accessBytes)), privilege);
    o.if(eqz(and(exact, wanted)), () => accessFault(o, access, va));
  });
  o.return(pa);
}

function defineTranslate(tracking: PageTracking): void {
  const { definitions } = tracking;
  definitions.define(dataPrivilege, (o) => {
    const mstatus = o.let(get(hart.mstatus));
    const mpp = wrap(and(shrU(mstatus, 11), 3));
    const modified = ne(and(mstatus, status.MPRV), 0n);
    o.return(choose(modified, mpp, get(hart.privilege)));
  });
  definitions.define(translate, (o, va, access) => {
    const privilege = o.let(get(hart.privilege));
    o.if(ne(access!, accessKind.fetch), () => o.set(privilege, o.call(dataPrivilege)));
    const satp = o.let(get(hart.satp));
    const mode = o.let(wrap(shrU(satp, 60)));
    const bare = eq(privilege, 3);
    // Two conditions, each without effects.
    o.if(bare, () => finish(o, va!, va!, access!, privilege));
    o.if(eqz(mode), () => finish(o, va!, va!, access!, privilege));
    const levels = o.let(choose(eq(mode, 9), i32(4), 3));
    const unused = o.let(zext(choose(eq(mode, 9), i32(64 - 48), 64 - 39)));
    o.if(ne(shrS(shl(va!, unused), unused), va!), () => pageFault(o, access!, va!));
    walk(o, tracking, { va: va!, access: access!, privilege, satp, levels });
  });
}

interface Walk {
  readonly va: Expr;
  readonly access: Expr;
  readonly privilege: Expr;
  readonly satp: Expr;
  readonly levels: Expr;
}

function walk(o: Builder, tracking: PageTracking, w: Walk): void {
  const level = o.let(sub(w.levels, 1));
  const table = o.let(shl(and(w.satp, (1n << 44n) - 1n), 12));
  const mstatus = o.let(get(hart.mstatus));
  o.while(
    () => i32(1),
    () => {
      const shift = o.let(zext(add(i32(12), mul9(level))));
      const entryAt = o.let(add(table, shl(and(shrU(w.va, shift), 0x1ff), 3)));
      const allowed = o.call(pmpAllows, entryAt, 8, 1);
      o.if(eqz(and(allowed, 1)), () => accessFault(o, w.access, w.va));
      o.if(eqz(tracking.inRam(entryAt)), () => accessFault(o, w.access, w.va));
      tracking.markTable(o, entryAt);
      const entry = o.let(peek('u64', tracking.host(entryAt)));
      const bits = o.let(wrap(entry));
      const writeOnly = eq(and(bits, pte.R | pte.W), pte.W);
      o.if(or(eqz(and(bits, pte.V)), writeOnly), () => pageFault(o, w.access, w.va));
      o.if(ne(and(entry, pte.reserved), 0n), () => pageFault(o, w.access, w.va));
      const next = o.let(shl(and(shrU(entry, 10), (1n << 44n) - 1n), 12));
      o.if(
        ne(and(bits, pte.R | pte.X), 0),
        () => leaf(o, tracking, w, { entry, bits, shift, entryAt, next, mstatus }),
        () => {
          o.if(ne(and(bits, pte.D | pte.A | pte.U), 0), () => pageFault(o, w.access, w.va));
          o.if(eqz(level), () => pageFault(o, w.access, w.va));
          o.set(level, sub(level, 1));
          o.set(table, next);
        },
      );
    },
  );
}

/** Nine bits of index per level. */
function mul9(level: Expr): Expr {
  return add(shl(level, 3), level);
}

interface Leaf {
  readonly entry: Expr;
  readonly bits: Expr;
  readonly shift: Expr;
  readonly entryAt: Expr;
  readonly next: Expr;
  readonly mstatus: Expr;
}

function leaf(o: Builder, tracking: PageTracking, w: Walk, l: Leaf): void {
  const fault = (): void => pageFault(o, w.access, w.va);
  const isFetch = eq(w.access, accessKind.fetch);
  // User pages: never for supervisor fetches, for supervisor data only with SUM.
  o.if(
    ne(and(l.bits, pte.U), 0),
    () => {
      o.if(eq(w.privilege, 1), () => {
        o.if(or(isFetch, eqz(wrap(and(shrU(l.mstatus, 18), 1)))), fault);
      });
    },
    () => o.if(eqz(w.privilege), fault),
  );
  const executableIsReadable = ne(and(l.mstatus, status.MXR), 0n);
  const readable = choose(executableIsReadable, pte.R | pte.X, i32(pte.R));
  const needed = choose(isFetch, i32(pte.X), choose(eqz(w.access), readable, pte.W));
  o.if(eqz(and(l.bits, needed)), fault);
  const below = o.let(sub(shl(i64(1), l.shift), 1));
  o.if(ne(and(l.next, below), 0n), fault);
  const used = o.let(
    or(l.entry, choose(eq(w.access, accessKind.write), i64(pte.A | pte.D), pte.A)),
  );
  o.if(ne(used, l.entry), () => {
    const allowed = o.call(pmpAllows, l.entryAt, 8, 1);
    o.if(eqz(and(allowed, 2)), () => accessFault(o, w.access, w.va));
    tracking.noteOwnStore(o, l.entryAt);
    o.poke('u64', tracking.host(l.entryAt), used);
  });
  finish(o, w.va, o.let(or(l.next, and(w.va, below))), w.access, w.privilege);
}

export function definePaging(tracking: PageTracking): void {
  definePmp(tracking);
  defineTranslate(tracking);
}
