/* Products of matrices of 32-bit integers, 64 by 64. */
#include "../kernel.h"

#define SIZE 64

static u32 a[SIZE * SIZE], b[SIZE * SIZE], product[SIZE * SIZE];

__attribute__((noinline)) static void multiply(void) {
  for (int i = 0; i < SIZE; i++) {
    for (int j = 0; j < SIZE; j++) {
      u32 sum = 0;
      for (int k = 0; k < SIZE; k++) sum += a[i * SIZE + k] * b[k * SIZE + j];
      product[i * SIZE + j] = sum;
    }
  }
}

u64 kernel(u64 rounds) {
  u64 random = 1, sum = 0;
  for (int i = 0; i < SIZE * SIZE; i++) {
    a[i] = next_random(&random);
    b[i] = next_random(&random);
  }
  for (; rounds > 0; rounds--) {
    multiply();
    u32 at = rounds % (SIZE * SIZE);
    sum += product[at];
    a[at] ^= product[SIZE * SIZE - 1 - at];
  }
  return sum;
}
