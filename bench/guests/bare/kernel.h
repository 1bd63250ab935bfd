/* What a kernel of the bench is: a function whose result is the same on every machine. */
#pragma once
#include <stdint.h>
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

/* Does the same work `rounds` times, and returns a checksum over all of it. */
u64 kernel(u64 rounds);

/* Pseudo-random numbers, the same on every machine: Knuth's MMIX generator, upper half. */
static inline u32 next_random(u64 *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 32;
}

/* The bits of a number as one, for checksums. */
static inline u64 bits_of(double value) {
  union { double value; u64 bits; } both = {value};
  return both.bits;
}
