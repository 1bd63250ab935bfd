/* Fused multiply-add: products of matrices of doubles, 64 by 64. */
#include "../kernel.h"

#define SIZE 64

static double a[SIZE * SIZE], b[SIZE * SIZE], product[SIZE * SIZE];

__attribute__((noinline)) static void multiply(void) {
  for (int i = 0; i < SIZE; i++) {
    for (int j = 0; j < SIZE; j++) {
      double sum = 0;
      for (int k = 0; k < SIZE; k++) sum = __builtin_fma(a[i * SIZE + k], b[k * SIZE + j], sum);
      product[i * SIZE + j] = sum;
    }
  }
}

u64 kernel(u64 rounds) {
  u64 random = 1, sum = 0;
  for (int i = 0; i < SIZE * SIZE; i++) {
    a[i] = next_random(&random) / 4294967296.0;
    b[i] = next_random(&random) / 4294967296.0;
  }
  for (; rounds > 0; rounds--) {
    multiply();
    int at = rounds % (SIZE * SIZE);
    sum = sum * 31 + bits_of(product[at]);
    a[at] = product[SIZE * SIZE - 1 - at] / SIZE;
  }
  return sum;
}
