/**
 * Simulated time: everything that will happen, in one heap, in an order that the seed decides.
 *
 * One run of the simulator is a function of its seed: no clock, no other randomness.
 */
import { SeededRandom } from '../base/random.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

const traceMax = 4000;

export class Scheduler {
  readonly random: SeededRandom;
  /** Microseconds since the beginning. */
  now = 0;
  events = 0;
  #heap: Event[] = [];
  #order = 0;
  #trace: string[] = [];

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  at(time: number, act: () => void): void {
    const event = { at: Math.max(time, this.now), order: this.#order++, act };
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  after(delay: number, act: () => void): void {
    this.at(this.now + delay, act);
  }

  runUntil(time: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= time) {
      const event = this.#pop();
      this.now = event.at;
      this.events++;
      event.act();
    }
    this.now = time;
  }

  trace(text: string): void {
    this.#trace.push(`${(this.now / 1000).toFixed(3).padStart(10)} ms  ${text}`);
    if (this.#trace.length > 2 * traceMax) this.#trace = this.#trace.slice(-traceMax);
  }

  get traced(): readonly string[] {
    return this.#trace;
  }

  #pop(): Event {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return top;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
