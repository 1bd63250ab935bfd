/** Sequence numbers modulo 2^32 (RFC 9293, 3.4), as signed 32-bit integers. */
export type Sequence = number;

/** How far `a` lies behind `b`; negative if it lies before. */
export function distance(a: Sequence, b: Sequence): number {
  return (a - b) | 0;
}

export function isBefore(a: Sequence, b: Sequence): boolean {
  return ((a - b) | 0) < 0;
}

export function isAfter(a: Sequence, b: Sequence): boolean {
  return ((a - b) | 0) > 0;
}

export function advance(a: Sequence, bytes: number): Sequence {
  return (a + bytes) | 0;
}
