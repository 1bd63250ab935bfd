/**
 * One region as one WebAssembly function: (pc, budget, entry) -> the budget that is left.
 *
 * Registers that the region uses are locals between its entry and its exit. A basic block takes the
 * budget of all its instructions at once; whoever leaves in the middle gives back the rest, so a
 * count is exact wherever it can be seen. Control is structured (structure.ts).
 *
 * The function ends in one place, with `pc` where the hart goes on and `why` (see `exitReason`). If
 * nothing else is wanted and there is a region at `pc`, it goes on there by a tail call: what the
 * fetch lookaside buffer and the page's entry words say is always true, so nothing is ever patched.
 *
 * Invariants: no page of code changes and no translation changes while a region goes on, because
 * `run.leave` ends it behind the store that did it; a step into another page checks that the page
 * is mapped there and has the version that was translated.
 */
import { assert } from '../../base/assert.ts';
import { hart } from '../../isa/hart-state.ts';
import { accesses } from '../../isa/operators.ts';
import { codePage, pageBytes, run } from '../../machine/layout.ts';
import { pushEntry } from '../common-code.ts';
import type { Push } from '../lower.ts';
import type { FunctionBody, Label } from '../wasm/code.ts';
import { type BasicBlock, pageOf, type Region } from './discover.ts';
import { type EmitContext, exitReason, Frame, obtain } from './frame.ts';
import { InstructionEmitter } from './instructions.ts';
import { type Graph, headersOf, type Item, type Sequence, structure } from './structure.ts';

/** At most so many entries: those wanted first, then headers of loops. */
const entriesMax = 16;

/** A region as a function, and where it may be entered. */
export interface EmittedRegion {
  readonly body: FunctionBody;
  /** `at` of each entry, by number. */
  readonly entries: readonly number[];
}

export function emitRegion(region: Region, context: EmitContext): EmittedRegion {
  return new RegionEmitter(region, context).emit();
}

/** Where branches may go: a label and the blocks that are reached by it. */
interface Target {
  readonly label: Label;
  readonly blocks: ReadonlySet<number>;
  /** Whether the label leads to a dispatcher, which wants the block's number. */
  readonly dispatched: boolean;
}

class RegionEmitter {
  readonly #region: Region;
  readonly #frame: Frame;
  readonly #instructions: InstructionEmitter;
  /** Dispatchers know blocks by these numbers; entries come first. */
  readonly #numbers = new Map<number, number>();
  readonly #targets: Target[] = [];
  #block!: BasicBlock;

  constructor(region: Region, context: EmitContext) {
    this.#region = region;
    this.#frame = new Frame(context);
    this.#instructions = new InstructionEmitter(this.#frame, (target) => this.#jump(target));
  }

  emit(): EmittedRegion {
    const { blocks } = this.#region;
    const graph = reachable(blocks, this.#region.entries);
    for (const index of graph.keys()) this.#frame.noteRegisters(blocks[index]!);
    // Loops can be entered at their headers: where a slice has ended in one, the next goes on.
    const first = structure(graph, new Set(this.#region.entries));
    const wanted = [...this.#region.entries, ...headersOf(first)];
    const entries = [...new Set(wanted)]
      .filter((index) => blocks[index]!.pages.length === 1)
      .slice(0, entriesMax);
    for (const index of entries) this.#number(index);
    const sequence = structure(graph, new Set(entries));
    this.#emitPrologue(entries);
    this.#frame.openExits();
    this.#emitSequence(sequence, entries);
    this.#frame.code.unreachable();
    this.#frame.closeExits();
    this.#emitEpilogue();
    return {
      body: this.#frame.code.finish(),
      entries: entries.map((index) => blocks[index]!.at),
    };
  }

  // --- The way in and the way out

  #emitPrologue(entries: readonly number[]): void {
    const frame = this.#frame;
    const { code } = frame;
    this.#emitGuard();
    code.getLocal(frame.pc);
    code.i64(-pageBytes);
    frame.op('i64.and');
    for (const [number, index] of entries.entries()) {
      const page = pageOf(this.#region.blocks[index]!.at);
      if (page === 0) continue;
      code.getLocal(frame.entry);
      code.i32(number);
      frame.op('i32.eq');
      frame.op('i64.extend_i32_u');
      code.i64(page * pageBytes);
      frame.op('i64.mul');
      frame.op('i64.sub');
    }
    code.setLocal(frame.base);
    if ('local' in frame.bank) {
      frame.get(run.dataBank);
      code.setLocal(frame.bank.local);
    }
    frame.loadRegisters();
  }

  /** Returns at once where what is relied upon does not hold. */
  #emitGuard(): void {
    const frame = this.#frame;
    const { code } = frame;
    const known = [...frame.context.specialiser.used];
    if (known.length === 0) return;
    for (const [index, { field, mask, value }] of known.entries()) {
      const { type } = accesses[field.access];
      frame.get(field);
      code.constant(type, mask);
      frame.op(`${type}.and`);
      code.constant(type, value);
      frame.op(`${type}.ne`);
      if (index > 0) frame.op('i32.or');
    }
    code.ifUnlikely();
    frame.put(hart.pc, () => code.getLocal(frame.pc));
    frame.put(run.exit, () => code.i32(exitReason.unfit));
    code.getLocal(frame.budget);
    code.return();
    code.end();
  }

  #emitEpilogue(): void {
    const frame = this.#frame;
    const { code } = frame;
    frame.storeRegisters();
    code.getLocal(frame.why);
    frame.op('i32.eqz');
    code.if();
    this.#emitLink();
    code.else();
    frame.put(run.exit, () => code.getLocal(frame.why));
    code.end();
    frame.put(hart.pc, () => code.getLocal(frame.pc));
    code.getLocal(frame.budget);
  }

  /** Goes on in the region at `pc`, if the page is known and one begins there. */
  #emitLink(): void {
    const frame = this.#frame;
    const { code } = frame;
    frame.fetchSlot(() => code.getLocal(frame.pc));
    code.load('u64', 0);
    code.getLocal(frame.pc);
    code.i64(-pageBytes);
    frame.op('i64.and');
    frame.op('i64.eq');
    code.if();
    code.getLocal(frame.slot);
    code.load('word', 8);
    code.getLocal(frame.pc);
    frame.op('i32.wrap_i64');
    code.i32(pageBytes - 1);
    frame.op('i32.and');
    code.i32(1);
    frame.op('i32.shl');
    frame.op('i32.add');
    code.load('word', codePage.entriesAt);
    code.teeLocal(frame.slot);
    code.i32(0);
    frame.op('i32.lt_s');
    code.if();
    code.getLocal(frame.pc);
    code.getLocal(frame.budget);
    pushEntry(code, () => code.getLocal(frame.slot));
    code.returnCallIndirect(frame.context.regionTypeIndex);
    code.end();
    code.end();
  }

  // --- Control

  #number(index: number): number {
    return obtain(this.#numbers, index, () => this.#numbers.size);
  }

  /** @param heads the blocks at which the sequence may be entered */
  #emitSequence(sequence: Sequence, heads: readonly number[]): void {
    const { code } = this.#frame;
    const [first] = sequence;
    const firstHeads = headsOf(first!);
    const fallsIn = heads.length === 1 && firstHeads.length === 1 && firstHeads[0] === heads[0];
    const start = fallsIn ? 1 : 0;
    for (let index = sequence.length - 1; index >= start; index--) {
      const item = sequence[index]!;
      this.#targets.push({
        label: code.block(),
        blocks: new Set(headsOf(item)),
        dispatched: isDispatched(item),
      });
    }
    if (!fallsIn) this.#emitDispatcher(heads);
    for (const [index, item] of sequence.entries()) {
      if (index >= start) {
        code.end();
        this.#targets.pop();
      }
      const next = sequence[index + 1];
      if (item.kind === 'loop') this.#emitLoop(item);
      else this.#emitBlock(this.#region.blocks[item.node]!, next && fallsInto(next));
    }
  }

  #emitLoop(item: Item & { kind: 'loop' }): void {
    const { code } = this.#frame;
    this.#targets.push({
      label: code.loop(),
      blocks: item.headers,
      dispatched: isDispatched(item),
    });
    this.#emitSequence(item.body, item.heads);
    this.#targets.pop();
    code.unreachable();
    code.end();
  }

  #emitDispatcher(heads: readonly number[]): void {
    const labels: Label[] = [];
    const fallback = this.#targetOf(heads[0]!).label;
    for (const head of heads) labels[this.#number(head)] = this.#targetOf(head).label;
    for (let number = 0; number < labels.length; number++) labels[number] ??= fallback;
    const { code, entry } = this.#frame;
    code.getLocal(entry);
    code.brTable(labels, fallback);
  }

  #targetOf(index: number): Target {
    const target = this.#targets.findLast(({ blocks }) => blocks.has(index));
    assert(target !== undefined, `block ${index} is not in reach`);
    return target;
  }

  /** Control goes to this block: by falling, if it comes next anyhow. */
  #goTo(index: number, next: number | undefined): void {
    const target = this.#region.blocks[index]!;
    for (const page of target.pages) {
      if (!this.#block.pages.includes(page)) this.#emitPageCheck(page, target.at);
    }
    if (index === next) return;
    const { code, entry } = this.#frame;
    const { label, dispatched } = this.#targetOf(index);
    if (dispatched) {
      code.i32(this.#number(index));
      code.setLocal(entry);
    }
    code.br(label);
  }

  /** Leaves where the page is not mapped as it was, or is not what was translated. */
  #emitPageCheck(page: number, at: number): void {
    const frame = this.#frame;
    const { code } = frame;
    const known = this.#region.pages.get(page)!;
    const virtual = (): void => frame.pushAt(page * pageBytes);
    frame.fetchSlot(virtual);
    code.load('u64', 0);
    virtual();
    frame.op('i64.ne');
    code.ifUnlikely();
    frame.exit(exitReason.none, at);
    code.end();
    code.getLocal(frame.slot);
    code.load('word', 8);
    code.load('word', codePage.versionAt);
    code.i32(known.version);
    frame.op('i32.ne');
    code.ifUnlikely();
    frame.exit(exitReason.none, at);
    code.end();
  }

  /** @param next the block that is reached by falling out of this one */
  #emitBlock(block: BasicBlock, next: number | undefined): void {
    this.#block = block;
    this.#emitBudget(block);
    const { instructions } = block;
    for (const [index, instruction] of instructions.entries()) {
      this.#instructions.emit(instruction, instructions.length - 1 - index);
    }
    const last = instructions.at(-1)!;
    if (!last.flow.falls) return;
    if (block.next === undefined) this.#frame.exit(exitReason.none, last.at + last.length);
    else this.#goTo(block.next, next);
  }

  #emitBudget({ at, instructions }: BasicBlock): void {
    const frame = this.#frame;
    const { code } = frame;
    code.getLocal(frame.budget);
    code.i32(instructions.length);
    frame.op('i32.lt_s');
    code.ifUnlikely();
    frame.leaveWithoutBudget(at);
    code.end();
    frame.addToBudget(-instructions.length);
  }

  #jump(target: Push): void {
    const { flow } = this.#block.instructions.at(-1)!;
    if (flow.indirect) return this.#jumpIndirect(target);
    if (this.#block.taken === undefined) this.#frame.exit(exitReason.none, flow.target!);
    else this.#goTo(this.#block.taken, undefined);
  }

  #jumpIndirect(target: Push): void {
    const frame = this.#frame;
    const { code } = frame;
    target();
    code.setLocal(frame.pc);
    const targets = this.#block.indirect;
    if (targets.length > 0) {
      code.getLocal(frame.pc);
      code.getLocal(frame.base);
      frame.op('i64.sub');
      code.setLocal(frame.address);
      this.#emitChoice(targets.toSorted((a, b) => a - b));
    }
    frame.leave(exitReason.none);
  }

  /** Finds `address` among the blocks (which are in the order of their places) by halving. */
  #emitChoice(targets: readonly number[]): void {
    const frame = this.#frame;
    const { code } = frame;
    const compare = (index: number, operator: string): void => {
      code.getLocal(frame.address);
      code.i64(this.#region.blocks[index]!.at);
      frame.op(operator);
    };
    if (targets.length <= 2) {
      for (const index of targets) {
        compare(index, 'i64.eq');
        code.if();
        this.#goTo(index, undefined);
        code.end();
      }
      return;
    }
    const middle = targets.length >> 1;
    compare(targets[middle]!, 'i64.lt_s');
    code.if();
    this.#emitChoice(targets.slice(0, middle));
    code.else();
    this.#emitChoice(targets.slice(middle));
    code.end();
  }
}

const headsOf = (item: Item): readonly number[] =>
  item.kind === 'loop' ? item.heads : [item.node];
const isDispatched = (item: Item): boolean => item.kind === 'loop' && item.heads.length > 1;
/** The block at which control arrives that falls into an item. */
const fallsInto = (item: Item): number | undefined =>
  isDispatched(item) ? undefined : headsOf(item)[0];

/** The one that control falls to comes last, so that it is laid out closest. */
const successorsOf = ({ indirect, next, taken }: BasicBlock): readonly number[] =>
  [...indirect, taken, next].filter((index) => index !== undefined);

/** The blocks that control can reach from the entries, each with its successors. */
function reachable(blocks: readonly BasicBlock[], entries: readonly number[]): Graph {
  const graph = new Map<number, readonly number[]>();
  const queue = [...entries];
  for (let index = queue.pop(); index !== undefined; index = queue.pop()) {
    if (graph.has(index)) continue;
    const successors = successorsOf(blocks[index]!);
    graph.set(index, successors);
    queue.push(...successors);
  }
  return graph;
}
