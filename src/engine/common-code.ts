/** What the interpreter and translated regions emit alike. */
import { operators, type Type } from '../isa/operators.ts';
import { entryWord, pageShift, tlbEntries, tlbEntryBytes } from '../machine/layout.ts';
import type { Push } from './lower.ts';
import type { Code } from './wasm/code.ts';

/** An address becomes its page, and that the offset of an entry. */
const slotShift = pageShift - (31 - Math.clz32(tlbEntryBytes));

/** From an address on the stack: the offset of its entry in a lookaside buffer. */
export function pushTlbSlot(code: Code): void {
  code.op(operators['i32.wrap_i64']!);
  code.i32(slotShift);
  code.op(operators['i32.shr_u']!);
  code.i32((tlbEntries - 1) * tlbEntryBytes);
  code.op(operators['i32.and']!);
}

/** From an entry word: pushes the entry's number and the region's place in the table. */
export function pushEntry(code: Code, word: Push): void {
  word();
  code.i32((1 << entryWord.entryBits) - 1);
  code.op(operators['i32.and']!);
  word();
  code.i32(entryWord.translated - 1);
  code.op(operators['i32.and']!);
  code.i32(entryWord.entryBits);
  code.op(operators['i32.shr_u']!);
}

/** Locals lent to one body after another; every body begins with the first. */
export class LocalPool {
  readonly #code: Code;
  readonly #locals: Record<Type, number[]> = { i32: [], i64: [] };

  constructor(code: Code) {
    this.#code = code;
  }

  /** A local of each type, in their order. */
  lend(types: readonly Type[]): number[] {
    const used: Record<Type, number> = { i32: 0, i64: 0 };
    return types.map((type) => {
      const position = used[type]++;
      this.#locals[type][position] ??= this.#code.newLocal(type);
      return this.#locals[type][position];
    });
  }
}
