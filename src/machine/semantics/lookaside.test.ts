import { strict as assert } from 'node:assert';
import { test } from 'node:test';
import fc from 'fast-check';
import { callRoutine, type Environment } from '../../isa/evaluate.ts';
import { add, Definitions, declare, type Routine, wrap } from '../../isa/semantics.ts';
import {
  dataTlbAt,
  fetchTlbAt,
  layoutFor,
  noPage,
  pageBytes,
  tlbEnd,
  tlbEntryBytes,
  type UsedEntries,
  usedReads,
  usedWrites,
  writeTlbOffset,
} from '../layout.ts';
import {
  defineLookaside,
  dropWrites,
  fillEntry,
  flushAllTlbs,
  flushTlb,
  parkTlb,
  resumeTlb,
  tlbSlot,
} from './lookaside.ts';

/** A buffer of each kind that there is: where it lies, and whose list it is on. */
const buffers = [
  { name: 'loads', at: dataTlbAt, used: usedReads },
  { name: 'stores', at: dataTlbAt + writeTlbOffset, used: usedWrites },
  { name: 'fetches', at: fetchTlbAt, used: usedReads },
] as const;

const hartCount = 3;

interface Filled {
  readonly used: UsedEntries;
  /** Undefined: dropped alone. */
  translation: { readonly page: bigint; readonly word: number } | undefined;
}

/** The routines, evaluated one by one, beside a map of what should be in the buffers. */
class Buffers {
  readonly #view = new DataView(new ArrayBuffer(layoutFor(1 << 20).ramAt));
  readonly #fill: readonly Routine[];
  readonly #environment: Environment;
  #running = 0;
  #expected = new Map<number, Filled>();
  /** What harts will have in their next turns. */
  readonly #parked = Array.from({ length: hartCount }, () => new Map<number, Filled>());

  constructor() {
    const definitions = new Definitions();
    defineLookaside(definitions);
    this.#fill = buffers.map(({ name, at, used }) => {
      const fill = declare(`fill-${name}`, { takes: ['i64', 'i64'] });
      definitions.define(fill, (o, address, word) =>
        fillEntry(o, used, o.let(add(tlbSlot(address!), at)), address!, wrap(word!)),
      );
      return fill;
    });
    const never = (): never => assert.fail('nothing here leaves the buffers');
    const outside = { external: never, load: never, store: never, raiseTrap: never };
    const view = this.#view;
    this.#environment = { view, definitions, ...outside, trapPending: () => false };
    new Uint8Array(view.buffer).fill(0xff, dataTlbAt, tlbEnd);
  }

  fill(buffer: number, address: bigint, word: number): void {
    callRoutine(this.#environment, this.#fill[buffer]!, [address, BigInt(word)]);
    const { at, used } = buffers[buffer]!;
    const slot = Number(address >> 12n) % (writeTlbOffset / tlbEntryBytes);
    const translation = { page: address & -4096n, word };
    this.#expected.set(at + slot * tlbEntryBytes, { used, translation });
  }

  dropWrites(host: number): void {
    callRoutine(this.#environment, dropWrites, [BigInt(host)]);
    for (const filled of this.#expected.values()) {
      if (filled.used !== usedWrites || filled.translation === undefined) continue;
      const { page, word } = filled.translation;
      if (Number(BigInt.asUintN(32, page + BigInt(word))) === host) filled.translation = undefined;
    }
    for (const parked of this.#parked) {
      for (const [entry, { used }] of parked) if (used === usedWrites) parked.delete(entry);
    }
  }

  flush(): void {
    callRoutine(this.#environment, flushTlb, []);
    this.#expected.clear();
  }

  flushAll(): void {
    callRoutine(this.#environment, flushAllTlbs, []);
    this.#expected.clear();
    for (const parked of this.#parked) parked.clear();
  }

  /** Entries that were dropped alone are not kept. */
  giveTurn(to: number): void {
    callRoutine(this.#environment, parkTlb, [BigInt(this.#running)]);
    this.#parked[this.#running] = new Map(
      [...this.#expected].filter(([, { translation }]) => translation !== undefined),
    );
    this.#running = to;
    callRoutine(this.#environment, resumeTlb, [BigInt(to)]);
    this.#expected = new Map(
      [...this.#parked[to]!].map(([entry, filled]) => [entry, { ...filled }]),
    );
  }

  check(): void {
    for (let entry = dataTlbAt; entry < tlbEnd; entry += tlbEntryBytes) {
      const tag = this.#view.getBigInt64(entry, true);
      const filled = this.#expected.get(entry);
      const { empty, dropped } = noPage;
      if (filled === undefined) assert.equal(tag, BigInt(empty));
      else if (filled.translation === undefined) assert.equal(tag, BigInt(dropped));
      else {
        assert.equal(BigInt.asUintN(64, tag), filled.translation.page);
        assert.equal(this.#view.getUint32(entry + 8, true), filled.translation.word);
      }
    }
    for (const used of [usedWrites, usedReads]) {
      const listed = Array.from({ length: this.#view.getUint32(used.count.at, true) }, (_, index) =>
        this.#view.getUint32(used.at + index * 4, true),
      );
      const expected = [...this.#expected].filter(([, filled]) => filled.used === used);
      assert.deepEqual(
        listed.toSorted((a, b) => a - b),
        expected.map(([entry]) => entry).toSorted((a, b) => a - b),
      );
    }
  }
}

const hosts = [0x10_0000, 0x10_1000, 0x7fff_f000];

/** Few pages and few places in RAM, so that entries are shared, dropped and filled again. */
const address = fc
  .tuple(
    fc.constantFrom(0x0n, 0x1000n, 0x7f_f000n, 0x80_0000n, 0x3f_ffff_f000n, 0xffff_ffd8_0000_0000n),
    fc.nat({ max: pageBytes - 1 }),
  )
  .map(([page, offset]) => page + BigInt(offset));
const step = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.nat({ max: 2 }), address, fc.constantFrom(...hosts)) },
  { weight: 2, arbitrary: fc.constantFrom(...hosts) },
  { weight: 1, arbitrary: fc.constantFrom('flush' as const, 'flushAll' as const) },
  { weight: 2, arbitrary: fc.record({ hart: fc.nat({ max: hartCount - 1 }) }) },
);

test('what is in use is listed once, whatever is filled, dropped, filled again and kept for a turn', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tlb = new Buffers();
      for (const each of steps) {
        if (each === 'flush' || each === 'flushAll') tlb[each]();
        else if (typeof each === 'number') tlb.dropWrites(each);
        else if ('hart' in each) tlb.giveTurn(each.hart);
        else {
          const [buffer, at, host] = each;
          const word = Number(BigInt.asUintN(32, BigInt(host) - (at & -4096n)));
          tlb.fill(buffer, at, word);
        }
      }
      tlb.check();
      for (let hart = 0; hart < hartCount; hart++) {
        tlb.giveTurn(hart);
        tlb.check();
      }
    }),
    { numRuns: 40 },
  );
});
