/** Instruction fetch when the lookaside buffer does not know the page. */
import {
  add,
  and,
  declare,
  eq,
  eqz,
  get,
  i32,
  mul,
  ne,
  or,
  peek,
  shl,
  shrU,
  wrap,
  xor,
} from '../../isa/semantics.ts';
import { run, straddleAt, straddleEntries, straddleStride, usedReads } from '../layout.ts';
import { fillEntry, tlbSlot } from './lookaside.ts';
import { accessFault, accessKind, translate } from './paging.ts';
import type { PageTracking } from './tracking.ts';

/** Behind the record and the end of page that follows it at 16 or 32. */
const keyAt = 48;

/** From outside: (page index) -> the address of records for this page of RAM. */
export const allocateCode = declare('allocateCode', { takes: ['i32'], gives: 'i32' });
/** From outside: (record, word) decodes one instruction into a record. */
export const decodeSingle = declare('decodeSingle', { takes: ['i32', 'i32'] });

/** From outside, for a debugger: (page index, pc) is about to be executed from for the first time. */
export const codeFetched = declare('codeFetched', { takes: ['i32', 'i64'] });

/** (pc) -> the address of its page's records; 0 if its instructions must be fetched singly. */
export const fetchSlow = declare('fetchSlow', { takes: ['i64'], gives: 'i32', mayTrap: true });
/** (pc) -> a record of this one instruction, with every byte of it checked. */
export const fetchSingle = declare('fetchSingle', { takes: ['i64'], gives: 'i32', mayTrap: true });

export function defineFetch(tracking: PageTracking): void {
  const { definitions } = tracking;
  definitions.define(fetchSlow, (o, pc) => {
    o.put(run.accessBytes, 2);
    const physical = o.call(translate, pc!, accessKind.fetch);
    o.if(eqz(tracking.inRam(physical)), () => accessFault(o, i32(accessKind.fetch), pc!));
    o.if(eqz(get(run.pageUniform)), () => o.return(0, 'i32'));
    const page = o.let(tracking.pageOf(physical));
    o.if(ne(get(run.breakpoints), 0), () => o.call(codeFetched, page, pc!));
    const records = o.let(peek('word', shl(page, 2), tracking.layout.codeIndexAt));
    o.if(eqz(records), () => o.set(records, o.call(allocateCode, page)));
    const entry = o.let(add(get(run.fetchBank), tlbSlot(pc!)));
    fillEntry(o, usedReads, entry, pc!, records);
    o.return(records);
  });

  definitions.define(fetchSingle, (o, pc) => {
    o.put(run.accessBytes, 2);
    const half = (at: typeof pc) => {
      const physical = o.call(translate, at!, accessKind.fetch);
      o.if(eqz(tracking.inRam(physical)), () => accessFault(o, i32(accessKind.fetch), at!));
      return o.let(wrap(peek('u16', tracking.host(physical))));
    };
    const word = o.let(half(pc));
    o.if(eq(and(word, 3), 3), () => o.set(word, or(word, shl(half(add(pc!, 2)), 16))));
    // A small cache, keyed by the word itself, so it can never be stale. The key is inverted above
    // the low half: a record that was never written has key 0, which is no instruction's.
    const slot = and(shrU(mul(word, 0x9e3779b1 | 0), 26), straddleEntries - 1);
    const record = o.let(add(shl(slot, 31 - Math.clz32(straddleStride)), straddleAt));
    const key = o.let(xor(word, 0xffff_0000 | 0));
    o.if(ne(peek('word', record, keyAt), key), () => {
      o.call(decodeSingle, record, word);
      o.poke('word', record, key, keyAt);
    });
    o.return(record);
  });
}
