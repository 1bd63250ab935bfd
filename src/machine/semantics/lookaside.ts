/**
 * The lookaside buffers: where a virtual page was found last, so that engines need not walk again.
 * They may be dropped at any time, and often are (docs/decisions/tlb.md); lists of what is in use make
 * that cost what has been filled since, whatever there is room for. The buffers are those of the hart
 * that is running; what others have in use is kept for their next turn.
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
  i32,
  ltU,
  ne,
  peek,
  shl,
  shrU,
  sub,
  wrap,
} from '../../isa/semantics.ts';
import {
  hartsMax,
  noPage,
  pageBytes,
  pageShift,
  parkedEndsAt,
  parkedTlb,
  tlbEntries,
  tlbEntryBytes,
  type UsedEntries,
  usedReads,
  usedWrites,
} from '../layout.ts';

/** Drops every translation of the hart that is running. */
export const flushTlb = declare('flushTlb');
/** Drops those of every hart. */
export const flushAllTlbs = declare('flushAllTlbs');
/** (hart): its turn is over; what it has in use is kept, and the buffers are empty. */
export const parkTlb = declare('parkTlb', { takes: ['i32'] });
/** (hart): its turn begins, with empty buffers. */
export const resumeTlb = declare('resumeTlb', { takes: ['i32'] });
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

/** The last one first. */
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

const lists = [usedWrites, usedReads] as const;
const hartShift = 31 - Math.clz32(parkedTlb.hartBytes);
const endShift = 31 - Math.clz32(parkedTlb.endBytes);
const parkedWord = 8;
const parkedAddress = 12;

function defineFlushes(definitions: Definitions): void {
  definitions.define(flushTlb, (o) => {
    for (const used of lists) {
      forEachUsed(o, used, (entry) => o.poke('u64', entry, noPage.empty));
      o.put(used.count, 0);
    }
  });

  definitions.define(flushAllTlbs, (o) => {
    o.call(flushTlb);
    o.fill(i32(parkedEndsAt), 0, i32(hartsMax * parkedTlb.endBytes));
  });

  definitions.define(dropWrites, (o, page) => {
    forEachUsed(o, usedWrites, (entry) => {
      const held = add(wrap(peek('u64', entry)), peek('word', entry, 8));
      o.if(eq(and(held, -pageBytes), page!), () => o.poke('u64', entry, noPage.dropped));
    });
    for (let hart = 0; hart < hartsMax; hart++) {
      o.poke('word', i32(hart * parkedTlb.endBytes), 0, usedWrites.parkedEndAt);
    }
  });
}

function defineTurns(definitions: Definitions): void {
  definitions.define(parkTlb, (o, hart) => {
    for (const used of lists) {
      const to = o.let(add(shl(hart!, hartShift), used.parkedAt));
      const end = o.let(add(to, parkedTlb.entries * parkedTlb.entryBytes));
      forEachUsed(o, used, (entry) => {
        const tag = o.let(peek('u64', entry));
        o.if(and(ne(tag, noPage.dropped), ltU(to, end)), () => {
          o.poke('u64', to, tag);
          o.poke('word', to, peek('word', entry, 8), parkedWord);
          o.poke('word', to, entry, parkedAddress);
          o.set(to, add(to, parkedTlb.entryBytes));
        });
        o.poke('u64', entry, noPage.empty);
      });
      o.put(used.count, 0);
      o.poke('word', shl(hart!, endShift), to, used.parkedEndAt);
    }
  });

  definitions.define(resumeTlb, (o, hart) => {
    for (const used of lists) {
      const from = o.let(add(shl(hart!, hartShift), used.parkedAt));
      const end = o.let(peek('word', shl(hart!, endShift), used.parkedEndAt));
      o.while(
        () => ltU(from, end),
        () => {
          const entry = o.let(peek('word', from, parkedAddress));
          fillEntry(o, used, entry, peek('u64', from), peek('word', from, parkedWord));
          o.set(from, add(from, parkedTlb.entryBytes));
        },
      );
    }
  });
}

export function defineLookaside(definitions: Definitions): void {
  defineFlushes(definitions);
  defineTurns(definitions);
}
