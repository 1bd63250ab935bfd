/**
 * Which of many has the earliest deadline: a binary heap whose entries are put right only when they
 * come up. A deadline that moves later, as most do with every segment, costs nothing.
 */
export interface Deadline {
  /** When it wants to be called; Infinity for not at all. */
  readonly deadline: number;
  /** The heap's own: when its entry comes up; Infinity while it has none. */
  scheduledAt: number;
}

interface Entry<Item> {
  readonly at: number;
  readonly item: Item;
}

export class Deadlines<Item extends Deadline> {
  readonly #heap: Entry<Item>[] = [];

  /** To be called after `item.deadline` may have moved. */
  update(item: Item): void {
    if (item.deadline >= item.scheduledAt) return;
    item.scheduledAt = item.deadline;
    this.#push({ at: item.deadline, item });
  }

  /** When the next entry comes up; it may turn out to have moved later. */
  get next(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** An item whose deadline has come, or undefined. It is to be updated again after its call. */
  due(now: number): Item | undefined {
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      const { at, item } = first;
      if (item.scheduledAt !== at) continue; // an entry that an earlier one replaced
      item.scheduledAt = Number.POSITIVE_INFINITY;
      if (item.deadline <= now) return item;
      this.update(item);
    }
    return undefined;
  }

  #push(entry: Entry<Item>): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.at <= entry.at) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= last.at) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}
