/**
 * Structured control against the graph that it was made of: whatever a walk through the graph does,
 * a walk through the nested blocks and loops can follow, branch by branch.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { type Graph, type Item, type Sequence, structure } from './structure.ts';

const headsOf = (item: Item): readonly number[] =>
  item.kind === 'loop' ? item.heads : [item.node];

/** Where control is: the path of sequences and positions down to a node. */
type Place = readonly { readonly sequence: Sequence; readonly index: number }[];

/** Enters an item at one of its heads. */
function enter(place: Place, head: number): Place {
  const { sequence, index } = place.at(-1)!;
  const item = sequence[index]!;
  if (item.kind === 'node') {
    assert.equal(item.node, head);
    return place;
  }
  assert.ok(item.heads.includes(head), `${head} is no head of its loop`);
  const inner = item.body.findIndex((each) => headsOf(each).includes(head));
  assert.ok(inner >= 0, `${head} is not inside its loop`);
  return enter([...place, { sequence: item.body, index: inner }], head);
}

/** A branch as WebAssembly has it: forward to a later item, or back to the header of a loop. */
function branch(place: Place, target: number): Place {
  for (let depth = place.length - 1; depth >= 0; depth--) {
    const { sequence, index } = place[depth]!;
    const later = sequence.findIndex(
      (item, position) => position > index && headsOf(item).includes(target),
    );
    const outer = place.slice(0, depth);
    if (later >= 0) return enter([...outer, { sequence, index: later }], target);
    const around = outer.at(-1);
    const loop = around?.sequence[around.index];
    if (loop?.kind === 'loop' && loop.headers.has(target)) return enter(outer, target);
  }
  return assert.fail(`no branch leads to ${target}`);
}

function start(sequence: Sequence, entry: number): Place {
  const index = sequence.findIndex((item) => headsOf(item).includes(entry));
  assert.ok(index >= 0, `no way in at ${entry}`);
  return enter([{ sequence, index }], entry);
}

const graphs = fc.integer({ min: 1, max: 14 }).chain((size) =>
  fc.record({
    edges: fc.array(fc.array(fc.nat(size - 1), { maxLength: 4 }), {
      minLength: size,
      maxLength: size,
    }),
    entries: fc.uniqueArray(fc.nat(size - 1), { minLength: 1, maxLength: 4 }),
    steps: fc.array(fc.nat(3), { maxLength: 60 }),
  }),
);

test('every walk through a graph is a walk through its structure', () => {
  fc.assert(
    fc.property(graphs, ({ edges, entries, steps }) => {
      const graph: Graph = new Map(edges.map((targets, node) => [node, [...new Set(targets)]]));
      const sequence = structure(graph, new Set(entries));
      for (const entry of entries) {
        let node = entry;
        let place = start(sequence, entry);
        for (const step of steps) {
          const targets = graph.get(node)!;
          const target = targets[step % Math.max(1, targets.length)];
          if (target === undefined) break;
          place = branch(place, target);
          node = target;
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test('every node has one place, and loops that nothing leaves still have headers', () => {
  fc.assert(
    fc.property(graphs, ({ edges, entries }) => {
      const graph: Graph = new Map(edges.map((targets, node) => [node, [...new Set(targets)]]));
      const found: number[] = [];
      const visit = (sequence: Sequence): void => {
        for (const item of sequence) {
          if (item.kind === 'node') found.push(item.node);
          else {
            assert.ok(item.headers.size > 0);
            visit(item.body);
          }
        }
      };
      visit(structure(graph, new Set(entries)));
      assert.deepEqual(
        found.toSorted((a, b) => a - b),
        edges.map((_, node) => node),
      );
    }),
  );
});
