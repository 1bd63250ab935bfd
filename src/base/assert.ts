/**
 * Assertions stay on in production: a machine that has left its own rules must stop before it
 * diverges. A failed assertion is a bug in Umbra, never bad input and never a guest's fault.
 */
export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

/** For the default branch of an exhaustive switch: the compiler proves that nobody gets here. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable: ${String(value)}`);
}
