/**
 * From a control-flow graph to nested blocks and loops, which is all the control that WebAssembly
 * has. Any graph will do, with any number of entries: a loop that can be entered at several nodes
 * gets a dispatcher.
 *
 * Strongly connected components, outermost first (after Ramsey, "Beyond Relooper", 2022, but by
 * components instead of dominators): each is a loop around what remains of it without the edges
 * back to its headers, in topological order.
 */

/** Nodes in an order in which control only goes forward, but for loops. */
export type Sequence = readonly Item[];

export type Item = Single | Loop;

export interface Single {
  readonly kind: 'node';
  readonly node: number;
}

export interface Loop {
  readonly kind: 'loop';
  /** Nodes at which the loop is entered, from outside the loop or from outside the graph. */
  readonly heads: readonly number[];
  /** Those of them to which edges inside the loop go back. */
  readonly headers: ReadonlySet<number>;
  readonly body: Sequence;
}

/** The successors of every node, in the order of preference: the last one follows most closely. */
export type Graph = ReadonlyMap<number, readonly number[]>;

/** @param entries nodes at which control comes in from outside */
export function structure(graph: Graph, entries: ReadonlySet<number>): Sequence {
  return stronglyConnected(graph).map((component): Item => {
    const [only] = component;
    const isLoop = component.length > 1 || graph.get(only!)!.includes(only!);
    return isLoop ? loop(component, graph, entries) : { kind: 'node', node: only! };
  });
}

function loop(component: readonly number[], graph: Graph, entries: ReadonlySet<number>): Loop {
  const inside = new Set(component);
  const headers = new Set<number>();
  for (const [node, targets] of graph) {
    if (inside.has(node)) continue;
    for (const target of targets) if (inside.has(target)) headers.add(target);
  }
  const external = component.filter((node) => entries.has(node));
  // Entered from outside the graph only: any of its nodes will do to cut the cycle.
  if (headers.size === 0) headers.add(Math.min(...(external.length > 0 ? external : component)));
  const heads = [...new Set([...headers, ...external])];
  const stays = (target: number): boolean => inside.has(target) && !headers.has(target);
  const rest = new Map(component.map((node) => [node, graph.get(node)!.filter(stays)]));
  return { kind: 'loop', heads, headers, body: structure(rest, new Set(heads)) };
}

/** Components in topological order (Tarjan 1972). The last successor of a node follows it closest. */
function stronglyConnected(graph: Graph): number[][] {
  const order = new Map<number, number>();
  const low = new Map<number, number>();
  const open = new Set<number>();
  const stack: number[] = [];
  const found: number[][] = [];
  const visit = (node: number): void => {
    order.set(node, order.size);
    low.set(node, order.get(node)!);
    stack.push(node);
    open.add(node);
    for (const target of graph.get(node)!) {
      if (!order.has(target)) {
        visit(target);
        low.set(node, Math.min(low.get(node)!, low.get(target)!));
      } else if (open.has(target)) {
        low.set(node, Math.min(low.get(node)!, order.get(target)!));
      }
    }
    if (low.get(node) !== order.get(node)) return;
    const component: number[] = [];
    for (;;) {
      const member = stack.pop()!;
      open.delete(member);
      component.push(member);
      if (member === node) break;
    }
    found.push(component);
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return found.reverse();
}

/** The headers of all loops: where a region is worth entering. */
export function headersOf(sequence: Sequence): number[] {
  return sequence.flatMap((item) =>
    item.kind === 'loop' ? [...item.headers, ...headersOf(item.body)] : [],
  );
}
