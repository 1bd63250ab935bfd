/**
 * The lookaside buffers: where a virtual page was found last, so that engines need not walk again.
 * They may be dropped at any time, and often are (docs/decisions/tlb.md); lists of what is in use make
 * that cost what has been filled since, whatever there is room for.
 */
import {
  add,
  and,
  type Builder,
  type Definitions,
  declare,
  type Expr,
  eq,
  get,
  ne,
  peek,
  shl,
  shrU,
  sub,
  wrap,
} from '../../isa/semantics.ts';
import {
  noPage,
  pageBytes,
  pageShift,
  tlbEntries,
  tlbEntryBytes,
  type UsedEntries,
  usedReads,
  usedWrites,
} from '../layout.ts';

/** Drops every translation. */
export const flushTlb = declare('flushTlb');
/** (linear address of a page of RAM): from now on no store finds it in a write buffer. */
export const dropWrites = declare('dropWrites', { takes: ['i32'] });

const entryShift = 31 - Math.clz32(tlbEntryBytes);
const addressShift = 2;

/** The offset of a virtual page's entry in a lookaside buffer. */
export const tlbSlot = (address: Expr): Expr =>
  and(shrU(wrap(address), pageShift - entryShift), (tlbEntries - 1) << entryShift);

/** Remembers a translation in an entry of a buffer to which this list belongs. */
export function fillEntry(
  o: Builder,
  used: UsedEntries,
  entry: Expr,
  address: Expr,
  word: Expr,
): void {
  o.if(eq(peek('u64', entry), noPage.empty), () => {
    o.poke('word', shl(get(used.count), addressShift), entry, used.at);
    o.put(used.count, add(get(used.count), 1));
  });
  o.poke('u64', entry, and(address, -pageBytes));
  o.poke('word', entry, word, 8);
}

function forEachUsed(o: Builder, used: UsedEntries, act: (entry: Expr) => void): void {
  const at = o.let(shl(get(used.count), addressShift));
  o.while(
    () => ne(at, 0),
    () => {
      o.set(at, sub(at, 1 << addressShift));
      act(o.let(peek('word', at, used.at)));
    },
  );
}

export function defineLookaside(definitions: Definitions): void {
  definitions.define(flushTlb, (o) => {
    for (const used of [usedWrites, usedReads]) {
      forEachUsed(o, used, (entry) => o.poke('u64', entry, noPage.empty));
      o.put(used.count, 0);
    }
  });

  definitions.define(dropWrites, (o, page) => {
    forEachUsed(o, usedWrites, (entry) => {
      const held = add(wrap(peek('u64', entry)), peek('word', entry, 8));
      o.if(eq(and(held, -pageBytes), page!), () => o.poke('u64', entry, noPage.dropped));
    });
  });
}
