/* Integers in registers: the xoshiro256** generator, 32-bit arithmetic, and a branch by chance. */
#include "../kernel.h"

static u64 rotate_left(u64 value, int by) { return (value << by) | (value >> (64 - by)); }

u64 kernel(u64 rounds) {
  u64 a = 1, b = 2, c = 3, d = 4, sum = 0;
  for (; rounds > 0; rounds--) {
    u64 random = rotate_left(b * 5, 7) * 9;
    u64 shifted = b << 17;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate_left(d, 45);
    u32 word = (u32)random * 2654435761u;
    word ^= word >> 15;
    if (word & 0x300) sum += word;
    else sum ^= random;
  }
  return sum;
}
