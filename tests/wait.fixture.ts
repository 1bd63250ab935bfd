/** undefined and false: not yet. */
export type Look<T> = () => T | undefined | false | Promise<T | undefined | false>;

/** For tests: until it is so; what it is, if that is something. */
export async function eventually<T>(what: string, msMax: number, look: Look<T>): Promise<T> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${msMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
