/** 64-bit registers that a guest reads and writes as two of 32 bits. */

export function half(value: bigint, high: boolean): number {
  return Number(BigInt.asUintN(32, high ? value >> 32n : value));
}

export function withHalf(value: bigint, high: boolean, half: number): bigint {
  return high
    ? BigInt.asUintN(32, value) | (BigInt(half) << 32n)
    : ((value >> 32n) << 32n) | BigInt(half);
}
