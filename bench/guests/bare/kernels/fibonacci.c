/* Calls and returns: Fibonacci numbers by the definition. */
#include "../kernel.h"

__attribute__((noinline)) static u64 fibonacci(u64 n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

u64 kernel(u64 rounds) {
  u64 sum = 0;
  for (; rounds > 0; rounds--) sum = sum * 3 + fibonacci(20 + rounds % 4);
  return sum;
}
