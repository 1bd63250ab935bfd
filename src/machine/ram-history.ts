/**
 * RAM as it was at points of the past, so that a machine can go back without a copy of all of it.
 *
 * From: `Ram.preserve`, which the engine calls ahead of the first store into a page behind each
 * point. To: `Ram.rewind`. Each point has a layer: the pages that changed behind it and before the
 * next point, as they were. So a point costs what the guest changes, and going back costs the same.
 */

/** A page as it was; undefined for one of zeros. */
type Kept = Uint8Array | undefined;

export class RamLayer {
  readonly pages = new Map<number, Kept>();
  bytes = 0;

  keep(page: number, kept: Kept): void {
    this.pages.set(page, kept);
    this.bytes += kept?.length ?? 0;
  }

  clear(): void {
    this.pages.clear();
    this.bytes = 0;
  }
}

export class RamHistory {
  /** Oldest first; the newest takes what changes now. */
  #layers: RamLayer[] = [];

  get isEmpty(): boolean {
    return this.#layers.length === 0;
  }

  get bytes(): number {
    return this.#layers.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  begin(): RamLayer {
    const layer = new RamLayer();
    this.#layers.push(layer);
    return layer;
  }

  /** Whether the newest layer still lacks this page. */
  wants(page: number): boolean {
    const newest = this.#layers.at(-1);
    return newest !== undefined && !newest.pages.has(page);
  }

  keep(page: number, kept: Kept): void {
    this.#layers.at(-1)?.keep(page, kept);
  }

  /**
   * Takes back everything since this layer began, which is the newest from now on, and empty.
   * @returns the pages that have changed since, as they were then
   */
  unwind(layer: RamLayer): ReadonlyMap<number, Kept> {
    const index = this.#layers.indexOf(layer);
    const pages = new Map<number, Kept>();
    for (const each of this.#layers.slice(index).reverse()) {
      for (const [page, kept] of each.pages) pages.set(page, kept);
    }
    this.#layers = this.#layers.slice(0, index + 1);
    layer.clear();
    return pages;
  }

  forgetAll(): void {
    this.#layers = [];
  }

  /** There is no going back to this layer any more; earlier ones can still be reached. */
  forget(layer: RamLayer): void {
    const index = this.#layers.indexOf(layer);
    if (index < 0) return;
    const before = this.#layers[index - 1];
    this.#layers.splice(index, 1);
    if (before === undefined) return;
    for (const [page, kept] of layer.pages) {
      if (!before.pages.has(page)) before.keep(page, kept);
    }
  }
}
