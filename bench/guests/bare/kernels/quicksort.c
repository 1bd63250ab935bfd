/* Branches that nobody can predict: 16,384 random integers, sorted. */
#include "../kernel.h"

#define COUNT 16384

static int numbers[COUNT];

static void sort(int *first, int *last) {
  while (first < last) {
    int pivot = first[(last - first) / 2];
    int *low = first, *high = last;
    while (low <= high) {
      while (*low < pivot) low++;
      while (*high > pivot) high--;
      if (low > high) break;
      int moved = *low;
      *low++ = *high;
      *high-- = moved;
    }
    sort(first, high);
    first = low;
  }
}

u64 kernel(u64 rounds) {
  u64 random = 1, sum = 0;
  for (; rounds > 0; rounds--) {
    for (int i = 0; i < COUNT; i++) numbers[i] = next_random(&random);
    sort(numbers, numbers + COUNT - 1);
    for (int i = 1; i < COUNT; i++) sum += numbers[i - 1] <= numbers[i];
    sum = sum * 31 + numbers[rounds % COUNT];
  }
  return sum;
}
