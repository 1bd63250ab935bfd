/**
 * Which code belongs to a region: from an entry along jumps, branches and calls, as far as it has
 * been executed (which is: decoded) and its pages are mapped where the lookaside buffer says.
 *
 * In: the entry, and the machine's code as `CodeSource` shows it. Out: basic blocks with their
 * edges. Positions (`at`) are bytes from the start of the home page, the page of the entry, since a
 * page may be mapped anywhere; a region may reach into pages before and behind it.
 *
 * Nothing here is trusted when the region runs: a step into another page checks that the page is
 * still mapped there and still has the version that was translated (emit.ts).
 */
import { type Decoded, decode, isCompressed, newDecoded } from '../../isa/decode.ts';
import type { Row } from '../../isa/row.ts';
import { rows } from '../../isa/rows.ts';
import { type Block, type Expr, type Statement, walk } from '../../isa/semantics.ts';
import { pageBytes } from '../../machine/layout.ts';
import type { Specialiser } from './specialise.ts';

/** A page of code that has records. */
export interface CodePlace {
  /** Where its records begin in linear memory; what names the page as long as it has them. */
  readonly place: number;
  readonly version: number;
}

export interface CodeSource {
  /** The code that is executed at this many pages from the home page, if it has records. */
  page(delta: number): CodePlace | undefined;
  half(code: CodePlace, offset: number): number;
  /** Whether the instruction at this offset has been executed, or is about to be. */
  decoded(code: CodePlace, offset: number): boolean;
  /** Where the indirect jump at this offset has gone, in bytes from itself. */
  targets(code: CodePlace, offset: number): readonly number[];
}

export interface Instruction {
  readonly at: number;
  readonly length: number;
  readonly row: Row;
  readonly operands: Decoded;
  readonly effects: Block;
  readonly flow: Flow;
}

export interface BasicBlock {
  readonly index: number;
  readonly at: number;
  /** The pages that its bytes lie in, counted from the home page: two where an instruction crosses. */
  readonly pages: readonly number[];
  readonly instructions: readonly Instruction[];
  /** Block to which control falls, or undefined if it does not fall or leaves the region. */
  readonly next: number | undefined;
  /** Block to which the last instruction jumps, likewise. */
  readonly taken: number | undefined;
  /** Blocks to which an indirect jump may go, likeliest first. */
  readonly indirect: readonly number[];
}

export interface Region {
  readonly blocks: readonly BasicBlock[];
  /** Blocks at which the region may be entered, the first of which it was made for. */
  readonly entries: readonly number[];
  readonly pages: ReadonlyMap<number, CodePlace>;
  /** Where a straight line goes on for which there was no room: as hot as what leads there. */
  readonly cuts: readonly number[];
}

/** Where control goes behind an instruction. */
export interface Flow {
  readonly falls: boolean;
  /** The static target of its jump, as `at`. */
  readonly target: number | undefined;
  readonly indirect: boolean;
}

/**
 * How much code a region holds; memory accesses weigh more than arithmetic. Code that is executed
 * here and there wants small regions, since the host's caches hold more of them; a loop wants to be
 * in one.
 */
const weightMax = { straight: 200, loop: 800 } as const;
const accessWeight = 3;
const indirectMax = 24;
/** How far from its home page a region reaches, so that a site fits into a word (frame.ts). */
const reachPagesMax = 2 ** 15;
const link = new Set([1, 5]);

export class Discovery {
  readonly #source: CodeSource;
  readonly #specialiser: Specialiser;
  readonly #instructions = new Map<number, Instruction>();
  readonly #leaders = new Set<number>();
  readonly #pages = new Map<number, CodePlace | undefined>();
  /** Behind calls, by the register that links: where returns go. */
  readonly #returnSites: { readonly at: number; readonly register: number }[] = [];
  readonly #calls: Instruction[] = [];
  readonly #entry: number;
  readonly #weightMax: number;
  #weight = 0;
  readonly #cuts: number[] = [];
  /** Whether control comes back to the entry. */
  #loops = false;

  private constructor(
    source: CodeSource,
    specialiser: Specialiser,
    entry: number,
    weightMax: number,
  ) {
    this.#source = source;
    this.#specialiser = specialiser;
    this.#entry = entry;
    this.#weightMax = weightMax;
  }

  /** @returns undefined if there is nothing to translate at the entry */
  static region(source: CodeSource, specialiser: Specialiser, entry: number): Region | undefined {
    const small = new Discovery(source, specialiser, entry, weightMax.straight);
    const region = small.#region();
    if (!small.#loops || small.#weight < weightMax.straight) return region;
    return new Discovery(source, specialiser, entry, weightMax.loop).#region();
  }

  #region(): Region | undefined {
    const queue = [this.#entry];
    this.#leaders.add(this.#entry);
    for (let at = queue.shift(); at !== undefined; at = queue.shift()) this.#walk(at, queue);
    const first = this.#instructions.get(this.#entry);
    if (first === undefined || crossesPage(first)) return undefined;
    return this.#assembleRegion(this.#entry);
  }

  /** Takes a straight line of instructions; what they lead to joins the queue. */
  #walk(start: number, queue: number[]): void {
    for (let at = start; ; ) {
      if (this.#instructions.has(at)) {
        this.#leaders.add(at);
        return;
      }
      if (this.#weight >= this.#weightMax) {
        if (at !== start) this.#cuts.push(at);
        return;
      }
      const instruction = this.#fetch(at);
      if (instruction === undefined) return;
      this.#instructions.set(at, instruction);
      const { flow, operands, row } = instruction;
      const next = at + instruction.length;
      // The step into another page is checked where a block begins.
      if (crossesPage(instruction)) this.#leaders.add(at);
      const lead = (target: number): void => {
        if (target === this.#entry) this.#loops = true;
        if (!this.#leaders.has(target)) queue.push(target);
        this.#leaders.add(target);
      };
      if (flow.target !== undefined) lead(flow.target);
      if (flow.indirect || flow.target !== undefined) {
        if (row.writesX && operands.rd !== 0) {
          this.#calls.push(instruction);
          this.#returnSites.push({ at: next, register: operands.rd });
          lead(next);
        }
      }
      if (flow.indirect && !isReturn(instruction)) this.#noted(instruction).forEach(lead);
      if (!flow.falls) return;
      if (flow.target !== undefined) {
        lead(next);
        return;
      }
      if (pageOf(next) !== pageOf(at)) this.#leaders.add(next);
      at = next;
    }
  }

  #noted({ at }: Instruction): number[] {
    const code = this.#page(pageOf(at))!;
    return this.#source.targets(code, offsetIn(at)).map((distance) => at + distance);
  }

  #fetch(at: number): Instruction | undefined {
    const code = this.#page(pageOf(at));
    if (code === undefined || !this.#source.decoded(code, offsetIn(at))) return undefined;
    let word = this.#source.half(code, offsetIn(at));
    if (!isCompressed(word)) {
      const high = this.#page(pageOf(at + 2));
      if (high === undefined) return undefined;
      word |= this.#source.half(high, offsetIn(at + 2)) << 16;
    }
    const operands = decode(word, newDecoded());
    const row = rows[operands.row];
    if (row === undefined) return undefined;
    const effects = this.#specialiser.row(row, operands);
    const flow = flowOf(effects, at);
    this.#weight += 1 + effects.length + accessWeight * accessesIn(effects);
    return { at, length: operands.length, row, operands, effects, flow };
  }

  #page(delta: number): CodePlace | undefined {
    if (Math.abs(delta) > reachPagesMax) return undefined;
    if (!this.#pages.has(delta)) this.#pages.set(delta, this.#source.page(delta));
    return this.#pages.get(delta);
  }

  #assembleRegion(entry: number): Region {
    const starts = [...this.#leaders]
      .filter((at) => this.#instructions.has(at))
      .sort((a, b) => a - b);
    const indexOf = new Map(starts.map((at, index) => [at, index]));
    const blocks = starts.map((at, index) => this.#block(at, index, indexOf));
    const entries = new Set([indexOf.get(entry)!]);
    for (const call of this.#calls) {
      const inside = call.flow.target !== undefined && indexOf.has(call.flow.target);
      const back = indexOf.get(call.at + call.length);
      if (!inside && back !== undefined && blocks[back]!.pages.length === 1) entries.add(back);
    }
    const pages = [...this.#pages].filter((page): page is [number, CodePlace] => !!page[1]);
    const known = new Map(pages);
    const cuts = this.#cuts.filter((at) => known.has(pageOf(at)));
    return { blocks, entries: [...entries], pages: known, cuts };
  }

  #block(start: number, index: number, indexOf: ReadonlyMap<number, number>): BasicBlock {
    const instructions: Instruction[] = [];
    let at = start;
    let last: Instruction | undefined;
    for (;;) {
      const instruction = this.#instructions.get(at);
      if (instruction === undefined) break;
      instructions.push(instruction);
      last = instruction;
      at += instruction.length;
      const { flow } = instruction;
      if (!flow.falls || flow.target !== undefined || flow.indirect || indexOf.has(at)) break;
    }
    const { flow } = last!;
    const next = flow.falls ? indexOf.get(at) : undefined;
    const taken = flow.target === undefined ? undefined : indexOf.get(flow.target);
    const indirect = flow.indirect ? this.#indirect(last!, indexOf) : [];
    const pages = [...new Set([pageOf(start), pageOf(start + instructions[0]!.length - 1)])];
    return { index, at: start, pages, instructions, next, taken, indirect };
  }

  #indirect(jump: Instruction, indexOf: ReadonlyMap<number, number>): number[] {
    const targets = isReturn(jump)
      ? this.#returnSites
          .filter(({ register }) => register === jump.operands.rs1)
          .map(({ at }) => at)
      : this.#noted(jump);
    const blocks = targets.map((at) => indexOf.get(at)).filter((index) => index !== undefined);
    return [...new Set(blocks)].slice(0, indirectMax);
  }
}

/** A jump back behind a call, by the convention of the calling registers (manual, table 3). */
const isReturn = ({ operands }: Instruction): boolean =>
  operands.rd === 0 && link.has(operands.rs1);

const crossesPage = ({ at, length }: Instruction): boolean =>
  pageOf(at) !== pageOf(at + length - 1);

export const pageOf = (at: number): number => Math.floor(at / pageBytes);
export const offsetIn = (at: number): number => at & (pageBytes - 1);

function flowOf(effects: Block, at: number): Flow {
  let falls = true;
  let target: number | undefined;
  let indirect = false;
  const visit = (block: Block, conditional: boolean): void => {
    for (const statement of block) {
      if (statement.s === 'jump') {
        const distance = fromPc(statement.target);
        if (distance === undefined) indirect = true;
        else target = at + distance;
      } else if (statement.s === 'if') {
        visit(statement.yes, true);
        visit(statement.no, true);
        continue;
      } else if (statement.s !== 'resample' && statement.s !== 'trap') continue;
      if (!conditional) falls = false;
    }
  };
  visit(effects, false);
  return { falls, target, indirect };
}

/** The distance of a target that is written relative to pc. */
function fromPc({ node }: Expr): number | undefined {
  if (node.k === 'pc') return 0;
  if (node.k !== 'op' || node.name !== 'i64.add') return undefined;
  const [base, distance] = node.args;
  if (base!.node.k !== 'pc' || distance!.node.k !== 'const') return undefined;
  return Number(BigInt.asIntN(64, distance!.node.value));
}

/** How often the instruction goes to memory or calls. */
function accessesIn(effects: Block): number {
  let count = 0;
  const statement = ({ s }: Statement): void => {
    if (s === 'load' || s === 'store' || s === 'call') count += 1;
  };
  walk(effects, { statement, expression: () => {} });
  return count;
}
