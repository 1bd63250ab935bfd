/**
 * A 64-bit hash of bytes for fingerprints: two 32-bit lanes of MurmurHash3's mixing (Appleby, 2011,
 * public domain algorithm), differently seeded. Fast without BigInt, and the same on every platform.
 * It detects divergence; it does not resist an adversary and is never used for authentication.
 */
function lane(bytes: Uint8Array, seed: number): number {
  let hash = seed;
  const whole = bytes.length & ~3;
  for (let at = 0; at < whole; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    word = Math.imul(word, 0xcc9e2d51);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  for (let at = whole; at < bytes.length; at++) {
    hash = Math.imul(hash ^ bytes[at]!, 0x5bd1e995);
  }
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export function hash64(bytes: Uint8Array): bigint {
  return (BigInt(lane(bytes, 0x9747b28c)) << 32n) | BigInt(lane(bytes, 0x3c6ef372));
}
