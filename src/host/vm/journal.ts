/**
 * What a VM process writes about itself: lines on standard error, which its daemon keeps as the
 * VM's log. What repeats itself, as a peer that tries again does, is written once in a while.
 */
const repeatMs = 10_000;
const rememberedMax = 64;

export class Journal {
  readonly #saidAt = new Map<string, number>();

  readonly note = (text: string): void => {
    const now = performance.now();
    if (now - (this.#saidAt.get(text) ?? Number.NEGATIVE_INFINITY) < repeatMs) return;
    this.#saidAt.delete(text);
    this.#saidAt.set(text, now);
    if (this.#saidAt.size > rememberedMax) {
      this.#saidAt.delete(this.#saidAt.keys().next().value!);
    }
    console.error(`${new Date().toISOString()} ${text}`);
  };
}
