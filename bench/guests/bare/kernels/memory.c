/* Memory in order: half a megabyte is copied, and the copy summed up. */
#include "../kernel.h"

#define WORDS 65536

static u64 from[WORDS], to[WORDS];

__attribute__((noinline)) static void copy(void) {
  for (u64 i = 0; i < WORDS; i++) to[i] = from[i];
}

__attribute__((noinline)) static u64 add_up(void) {
  u64 sum = 0;
  for (u64 i = 0; i < WORDS; i++) sum += to[i];
  return sum;
}

u64 kernel(u64 rounds) {
  u64 sum = 0;
  for (u64 i = 0; i < WORDS; i++) from[i] = i * 0x9e3779b97f4a7c15;
  for (; rounds > 0; rounds--) {
    copy();
    sum += add_up();
    from[rounds % WORDS] ^= sum;
  }
  return sum;
}
