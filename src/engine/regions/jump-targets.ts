/**
 * Where indirect jumps go: for each, by the address of its record, up to `jumpTargets.targets`
 * distances. A hint for the choice of regions, never trusted: buckets are shared and may be stale.
 */
import { xSink } from '../../isa/hart-state.ts';
import {
  add,
  and,
  type Definitions,
  declare,
  eq,
  eqz,
  i32,
  ltU,
  ne,
  or,
  peek,
  shl,
  shrU,
} from '../../isa/semantics.ts';
import { jumpTargets, type Layout } from '../../machine/layout.ts';
import { record } from '../record.ts';

/** (record of the jump, distance to its target) */
export const noteJump = declare('noteJump', { takes: ['i32', 'i32'] });

const wordsAt = 4;

const bucketOf = (at: number): number => (at >>> 4) & (jumpTargets.buckets - 1);

export function defineJumpTargets(definitions: Definitions, layout: Layout): void {
  definitions.define(noteJump, (o, at, distance) => {
    // Returns go back behind calls, which is known without looking.
    const rd = peek('half', at!, record.rd);
    const rs1 = peek('half', at!, record.rs1);
    const links = or(eq(rs1, 1 * 8), eq(rs1, 5 * 8));
    o.if(and(eq(rd, xSink * 8), links), () => o.return());
    const index = and(shrU(at!, 4), jumpTargets.buckets - 1);
    const bucket = o.let(add(shl(index, 6), layout.jumpTargetsAt));
    o.if(ne(peek('word', bucket), at!), () => {
      o.fill(bucket, 0, i32(jumpTargets.bytes));
      o.poke('word', bucket, at!);
    });
    const slot = o.let(add(bucket, wordsAt));
    const end = o.let(add(bucket, jumpTargets.bytes));
    o.while(
      () => ltU(slot, end),
      () => {
        const known = o.let(peek('word', slot));
        o.if(eq(known, distance!), () => o.return());
        o.if(eqz(known), () => {
          o.poke('word', slot, distance!);
          o.return();
        });
        o.set(slot, add(slot, 4));
      },
    );
  });
}

/** What is noted for the jump with this record. */
export function targetsOf(view: DataView, layout: Layout, at: number): number[] {
  const bucket = layout.jumpTargetsAt + bucketOf(at) * jumpTargets.bytes;
  const targets: number[] = [];
  if (view.getUint32(bucket, true) !== at) return targets;
  for (let index = 0; index < jumpTargets.targets; index++) {
    const distance = view.getInt32(bucket + wordsAt + index * 4, true);
    if (distance !== 0) targets.push(distance);
  }
  return targets;
}
