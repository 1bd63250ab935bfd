/**
 * Who must hear of a store into a page of RAM: decoded code, the page walker's readings, hashes,
 * a checkpoint under way. A page is either flagged for somebody or may stand in a write lookaside
 * buffer, never both; so a store that needs nobody's attention costs nothing.
 */
import {
  add,
  and,
  type Builder,
  Definitions,
  declare,
  type Expr,
  eqz,
  get,
  i32,
  ltU,
  ne,
  or,
  peek,
  type Routine,
  shl,
  shrU,
  sub,
  wrap,
} from '../../isa/semantics.ts';
import {
  codePage,
  type Layout,
  pageBytes,
  pageFlag,
  pageShift,
  ramBase,
  recordBytes,
  run,
} from '../layout.ts';
import { defineLookaside, dropWrites, flushAllTlbs } from './lookaside.ts';

/** From outside: keep the old content of a page (by index) for the checkpoint under way. */
export const preservePage = declare('preservePage', { takes: ['i32'] });

/** From outside, for a debugger: (address, bytes, 1 for a store) -> 1 if the run is to end. */
export const dataAccessed = declare('dataAccessed', {
  takes: ['i64', 'i32', 'i32'],
  gives: 'i32',
});

/**
 * Behind the present instruction everybody looks up where the guest is and what it is to do next:
 * the page of the next instruction may be another now, an interrupt may be pending, a stop may be
 * wanted. Outside of runs this has no effect.
 */
export function lookUpAfterwards(o: Builder): void {
  o.put(run.budgetHeld, add(get(run.budgetHeld), get(run.budgetLeft)));
  o.put(run.budgetLeft, 0);
  o.put(run.leave, 1);
}

export class PageTracking {
  /** (page index): somebody is about to store into it. */
  readonly noteStore: Routine = declare('noteStore', { takes: ['i32'] });
  /** (page index): from now on stores into it must be noticed. */
  readonly protectPage: Routine = declare('protectPage', { takes: ['i32'] });
  readonly layout: Layout;
  readonly definitions = new Definitions();

  constructor(layout: Layout) {
    this.layout = layout;
    defineLookaside(this.definitions);
    this.#defineProtect();
    this.#defineNoteStore();
  }

  inRam(physical: Expr): Expr {
    return ltU(sub(physical, BigInt(ramBase)), BigInt(this.layout.ramBytes));
  }
  /** The linear address of a physical one that is known to lie in RAM. */
  host(physical: Expr): Expr {
    return add(wrap(physical), this.layout.ramAt - ramBase);
  }
  pageOf(physical: Expr): Expr {
    return shrU(sub(wrap(physical), ramBase | 0), pageShift);
  }
  flags(page: Expr): Expr {
    return peek('byte', page, this.layout.pageFlagsAt);
  }
  setFlags(o: Builder, page: Expr, flags: Expr): void {
    o.poke('byte', page, flags, this.layout.pageFlagsAt);
  }

  /** The walker is about to read from this physical address. */
  markTable(o: Builder, physical: Expr): void {
    const page = o.let(this.pageOf(physical));
    o.if(eqz(and(this.flags(page), pageFlag.table)), () => {
      o.call(this.protectPage, page);
      this.setFlags(o, page, or(this.flags(page), pageFlag.table));
    });
  }

  /** A store that takes nothing from the walker's readings: everybody else must hear of it. */
  noteOwnStore(o: Builder, physical: Expr): void {
    const page = o.let(this.pageOf(physical));
    const others = pageFlag.code | pageFlag.hashed | pageFlag.checkpoint;
    // A page that was walked while it was zero may not have been touched yet.
    const known = and(this.flags(page), others | pageFlag.touched);
    o.if(ne(known, pageFlag.touched), () => {
      const table = o.let(and(this.flags(page), pageFlag.table));
      this.setFlags(o, page, and(this.flags(page), ~pageFlag.table));
      o.call(this.noteStore, page);
      this.setFlags(o, page, or(this.flags(page), table));
    });
  }

  #defineProtect(): void {
    this.definitions.define(this.protectPage, (o, page) => {
      o.if(eqz(and(this.flags(page!), pageFlag.writable)), () => o.return());
      this.setFlags(o, page!, and(this.flags(page!), ~pageFlag.writable));
      o.call(dropWrites, add(shl(page!, pageShift), this.layout.ramAt));
    });
  }

  #defineNoteStore(): void {
    this.definitions.define(this.noteStore, (o, page) => {
      const flags = o.let(this.flags(page!));
      o.if(ne(and(flags, pageFlag.checkpoint), 0), () => o.call(preservePage, page!));
      o.if(ne(and(flags, pageFlag.table), 0), () => {
        o.call(flushAllTlbs);
        lookUpAfterwards(o);
      });
      o.if(ne(and(flags, pageFlag.code), 0), () => this.#forgetCode(o, page!));
      this.setFlags(o, page!, or(and(flags, pageFlag.writable), pageFlag.touched));
    });
  }

  /** Gives the code at this place a name of its own. */
  nameCode(o: Builder, place: Expr): void {
    o.put(run.codeVersion, add(get(run.codeVersion), 1));
    o.poke('word', place, get(run.codeVersion), codePage.versionAt);
  }

  /**
   * Makes every record of the page undecoded, and ends the regions that were made of it. Only the
   * handler is cleared: the instruction that is storing still needs the length of its own record.
   */
  #forgetCode(o: Builder, page: Expr): void {
    const place = o.let(peek('word', shl(page, 2), this.layout.codeIndexAt));
    o.if(eqz(place), () => o.return());
    this.nameCode(o, place);
    o.fill(add(place, codePage.entriesAt), 0, i32(codePage.entriesBytes));
    o.put(run.leave, 1);
    const record = o.let(place);
    const end = o.let(add(record, (pageBytes / 2) * recordBytes));
    o.while(
      () => ltU(record, end),
      () => {
        o.poke('half', record, 0);
        o.set(record, add(record, recordBytes));
      },
    );
  }
}
