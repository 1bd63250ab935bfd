/** The Internet checksum (RFC 1071), for cards and stacks alike. */

/**
 * Adds the 16-bit words of `bytes[start, end)` to a running sum; an odd last byte counts as a high
 * one, so only the last part of a message may be odd. Sums of 64 KiB stay far below 2^53.
 */
export function sumWords(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  let at = start;
  let partial = 0;
  for (const four = end - 7; at < four; at += 8) {
    partial +=
      ((bytes[at]! + bytes[at + 2]! + bytes[at + 4]! + bytes[at + 6]!) << 8) +
      (bytes[at + 1]! + bytes[at + 3]! + bytes[at + 5]! + bytes[at + 7]!);
  }
  for (; at + 1 < end; at += 2) partial += (bytes[at]! << 8) | bytes[at + 1]!;
  if (at < end) partial += bytes[at]! << 8;
  return sum + partial;
}

/** Folds a sum into the 16 bits that go on the wire. Over correct data and checksum it gives 0. */
export function foldChecksum(sum: number): number {
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
