/**
 * Guest loads and stores when the lookaside buffers do not know the page: translation, alignment,
 * page edges, RAM or device. The engine's tiers have the quick path inline and come here else.
 */
import { hart } from '../../isa/hart-state.ts';
import {
  add,
  and,
  type Builder,
  choose,
  declare,
  type Expr,
  eq,
  eqz,
  get,
  gtU,
  i32,
  i64,
  leU,
  ltU,
  ne,
  or,
  peek,
  type Routine,
  shl,
  shrU,
  sub,
  wrap,
  zext,
} from '../../isa/semantics.ts';
import {
  dataBankBytes,
  dataTlbAt,
  fetchBankBytes,
  fetchTlbAt,
  pageBytes,
  pageFlag,
  run,
  stopReason,
  usedReads,
  usedWrites,
  writeTlbOffset,
} from '../layout.ts';
import { fillEntry, tlbSlot } from './lookaside.ts';
import { accessFault, accessKind, dataPrivilege, translate } from './paging.ts';
import { dataAccessed, lookUpAfterwards, type PageTracking } from './tracking.ts';

/**
 * From outside: a device register. An access that nobody answers sets `run.fault` and its cause;
 * `run.faultValue` holds the virtual address already.
 */
export const deviceLoad = declare('deviceLoad', {
  takes: ['i64', 'i32'],
  gives: 'i64',
  mayTrap: true,
});
export const deviceStore = declare('deviceStore', {
  takes: ['i64', 'i32', 'i64'],
  mayTrap: true,
});

/** Chooses the banks of the lookaside buffers for the present privilege. */
export const selectBanks = declare('selectBanks');
/** (address, bytes, 1 if for a store) -> the value, zero-extended. */
export const loadSlow = declare('loadSlow', {
  takes: ['i64', 'i32', 'i32'],
  gives: 'i64',
  mayTrap: true,
});
/** (address, bytes, value) */
export const storeSlow = declare('storeSlow', { takes: ['i64', 'i32', 'i64'], mayTrap: true });

/**
 * The same for translated regions: (address, bytes, 1 if for a store, budget) and (address, bytes,
 * value, budget), the budget without that of the instruction at hand. Sets `run.leave` if the region
 * must be left: at the instruction if `run.fault` is set, otherwise behind it.
 */
export const regionLoad = declare('regionLoad', {
  takes: ['i64', 'i32', 'i32', 'i32'],
  gives: 'i64',
});
export const regionStore = declare('regionStore', { takes: ['i64', 'i32', 'i64', 'i32'] });

function rawLoad(o: Builder, at: Expr, bytes: Expr): void {
  o.if(eq(bytes, 8), () => o.return(peek('u64', at)));
  o.if(eq(bytes, 4), () => o.return(peek('u32', at)));
  o.if(eq(bytes, 2), () => o.return(peek('u16', at)));
  o.return(peek('u8', at));
}

function rawStore(o: Builder, at: Expr, bytes: Expr, value: Expr): void {
  o.if(eq(bytes, 8), () => o.poke('u64', at, value));
  o.if(eq(bytes, 4), () => o.poke('u32', at, value));
  o.if(eq(bytes, 2), () => o.poke('u16', at, value));
  o.if(eq(bytes, 1), () => o.poke('u8', at, value));
}

/**
 * Whether a debugger may watch data in this page. Such pages stand in no lookaside buffer, so every
 * access comes by here.
 */
const maybeWatched = (address: Expr): Expr =>
  wrap(and(shrU(get(run.watchedPages), and(shrU(address, 12), 63)), 1));

/** Tells a debugger of an access that will not trap any more. */
function noteAccess(o: Builder, address: Expr, bytes: Expr, isStore: Expr): void {
  const end = add(address, zext(bytes));
  const near = and(ltU(address, get(run.watchedTo)), ltU(get(run.watchedFrom), end));
  o.if(near, () => {
    const stops = o.let(o.call(dataAccessed, address, bytes, isStore));
    o.if(stops, () => {
      lookUpAfterwards(o);
      o.put(run.stopRequest, or(get(run.stopRequest), stopReason.trap));
    });
  });
}

const crossesPage = (address: Expr, bytes: Expr): Expr =>
  gtU(add(and(wrap(address), pageBytes - 1), bytes), pageBytes);

/** Both pages of an access across an edge, translated before anything happens. */
function translateBoth(o: Builder, t: PageTracking, address: Expr, bytes: Expr, kind: Expr) {
  const edge = o.let(and(add(address, zext(bytes)), -pageBytes));
  const inLow = o.let(wrap(sub(edge, address)));
  o.put(run.accessBytes, inLow);
  const low = o.call(translate, address, kind);
  o.put(run.accessBytes, sub(bytes, inLow));
  const high = o.call(translate, edge, kind);
  o.if(eqz(and(t.inRam(low), t.inRam(high))), () => accessFault(o, kind, address));
  const at = (index: Expr): Expr =>
    choose(ltU(index, inLow), add(t.host(low), index), add(t.host(high), sub(index, inLow)));
  return { low, high, at };
}

/** Remembers where a page's bytes lie, for loads or, `writeTlbOffset` further on, for stores. */
function fillTlb(o: Builder, t: PageTracking, offset: number, va: Expr, pa: Expr): void {
  const entry = o.let(add(add(get(run.dataBank), tlbSlot(va)), offset));
  const addend = sub(and(t.host(pa), -pageBytes), and(wrap(va), -pageBytes));
  fillEntry(o, offset === writeTlbOffset ? usedWrites : usedReads, entry, va, addend);
}

function defineLoad(t: PageTracking): void {
  const { definitions } = t;
  const across: Routine = declare('loadAcross', {
    takes: ['i64', 'i32', 'i32'],
    gives: 'i64',
    mayTrap: true,
  });
  definitions.define(across, (o, address, bytes, forStore) => {
    const { at } = translateBoth(o, t, address!, bytes!, forStore!);
    noteAccess(o, address!, bytes!, i32(0));
    const value = o.let(i64(0));
    const index = o.let(i32(0));
    o.while(
      () => ltU(index, bytes!),
      () => {
        const byte = o.let(peek('u8', at(index)));
        o.set(value, or(value, shl(byte, zext(shl(index, 3)))));
        o.set(index, add(index, 1));
      },
    );
    o.return(value);
  });
  definitions.define(loadSlow, (o, address, bytes, forStore) => {
    o.put(run.accessBytes, bytes!);
    o.if(crossesPage(address!, bytes!), () =>
      o.return(o.call(across, address!, bytes!, forStore!)),
    );
    const pa = o.call(translate, address!, forStore!);
    o.if(eqz(t.inRam(pa)), () => {
      const misaligned = ne(and(wrap(pa), sub(bytes!, 1)), 0);
      o.if(misaligned, () => accessFault(o, forStore!, address!));
      o.put(run.faultValue, address!);
      const value = o.call(deviceLoad, pa, bytes!);
      // It may have raised an interrupt, or have wanted the run to stop.
      lookUpAfterwards(o);
      o.return(value);
    });
    noteAccess(o, address!, bytes!, i32(0));
    const kept = and(get(run.pageUniform), eqz(or(forStore!, maybeWatched(address!))));
    o.if(kept, () => fillTlb(o, t, 0, address!, pa));
    rawLoad(o, o.let(t.host(pa)), bytes!);
  });
}

/**
 * Whether a store into a page table changes one entry that is not valid. Nothing can have been
 * derived from such an entry, so nothing is dropped: what the kernel does at every page fault.
 */
function fillsAbsentEntry(t: PageTracking, pa: Expr, bytes: Expr): Expr {
  const inOneEntry = leU(add(and(wrap(pa), 7), bytes), 8);
  const valid = and(peek('word', and(t.host(pa), -8)), 1);
  return and(inOneEntry, eqz(valid));
}

function defineStore(t: PageTracking): void {
  const { definitions } = t;
  const across: Routine = declare('storeAcross', { takes: ['i64', 'i32', 'i64'], mayTrap: true });
  definitions.define(across, (o, address, bytes, value) => {
    const { low, high, at } = translateBoth(o, t, address!, bytes!, i32(accessKind.write));
    noteAccess(o, address!, bytes!, i32(1));
    o.call(t.noteStore, t.pageOf(low));
    o.call(t.noteStore, t.pageOf(high));
    const index = o.let(i32(0));
    o.while(
      () => ltU(index, bytes!),
      () => {
        o.poke('u8', at(index), shrU(value!, zext(shl(index, 3))));
        o.set(index, add(index, 1));
      },
    );
  });
  definitions.define(storeSlow, (o, address, bytes, value) => {
    o.put(run.accessBytes, bytes!);
    o.if(crossesPage(address!, bytes!), () => {
      o.call(across, address!, bytes!, value!);
      o.return();
    });
    const pa = o.call(translate, address!, accessKind.write);
    o.if(eqz(t.inRam(pa)), () => {
      const misaligned = ne(and(wrap(pa), sub(bytes!, 1)), 0);
      o.if(misaligned, () => accessFault(o, i32(accessKind.write), address!));
      o.put(run.faultValue, address!);
      o.call(deviceStore, pa, bytes!, value!);
      // It may have raised an interrupt, or have wanted the run to stop.
      lookUpAfterwards(o);
      o.return();
    });
    noteAccess(o, address!, bytes!, i32(1));
    const page = o.let(t.pageOf(pa));
    const isTable = o.let(and(t.flags(page), pageFlag.table));
    o.if(isTable, () => {
      o.if(fillsAbsentEntry(t, pa, bytes!), () => {
        t.noteOwnStore(o, pa);
        rawStore(o, o.let(t.host(pa)), bytes!, value!);
        o.return();
      });
    });
    o.call(t.noteStore, page);
    // What this store changes may be the very entries that led here: nothing to remember, then.
    o.if(and(get(run.pageUniform), eqz(or(isTable, maybeWatched(address!)))), () => {
      fillTlb(o, t, writeTlbOffset, address!, pa);
      t.setFlags(o, page, or(t.flags(page), pageFlag.writable));
    });
    rawStore(o, o.let(t.host(pa)), bytes!, value!);
  });
}

function defineRegionAccess({ definitions }: PageTracking): void {
  const begin = (o: Builder, budget: Expr): void => {
    o.put(run.budgetLeft, budget);
    o.put(run.leave, 0);
  };
  const end = (o: Builder): void => o.put(run.leave, or(get(run.leave), get(run.fault)));
  definitions.define(regionLoad, (o, address, bytes, forStore, budget) => {
    begin(o, budget!);
    const value = o.let(o.callUnchecked(loadSlow, address!, bytes!, forStore!));
    end(o);
    o.return(value);
  });
  definitions.define(regionStore, (o, address, bytes, value, budget) => {
    begin(o, budget!);
    o.callUnchecked(storeSlow, address!, bytes!, value!);
    end(o);
  });
}

function defineBanks({ definitions }: PageTracking): void {
  definitions.define(selectBanks, (o) => {
    const bankOf = (privilege: Expr): Expr => choose(eq(privilege, 3), i32(2), privilege);
    o.put(run.fetchBank, add(mulBytes(bankOf(get(hart.privilege)), fetchBankBytes), fetchTlbAt));
    const privilege = o.call(dataPrivilege);
    const sum = wrap(and(shrU(get(hart.mstatus), 18), 1));
    const bank = o.let(choose(eq(privilege, 1), add(sum, 1), privilege));
    o.put(run.dataBank, add(mulBytes(bank, dataBankBytes), dataTlbAt));
  });
}

function mulBytes(index: Expr, bytes: number): Expr {
  return shl(index, 31 - Math.clz32(bytes));
}

export function defineMemory(tracking: PageTracking): void {
  defineBanks(tracking);
  defineLoad(tracking);
  defineStore(tracking);
  defineRegionAccess(tracking);
}
