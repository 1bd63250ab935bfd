/*
 * A program under Linux, without a library: it adds up what it is given and says so. Linked where no
 * other program is, since breakpoints mean an address in whatever address space.
 */
typedef unsigned long u64;

volatile u64 total;

static long call(long number, long a, long b, long c) {
  register long a0 asm("a0") = a;
  register long a1 asm("a1") = b;
  register long a2 asm("a2") = c;
  register long a7 asm("a7") = number;
  asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
  return a0;
}

__attribute__((noinline)) void add(u64 value) {
  total += value;
  asm volatile("" ::: "memory");
}

__attribute__((noinline)) static void pause_briefly(void) {
  struct {
    long seconds, nanoseconds;
  } time = {0, 20000000};
  call(101, (long)&time, 0, 0);
}

void _start(void) {
  for (u64 value = 1; value <= 5; value++) {
    add(value);
    pause_briefly();
  }
  static const char text[] = "added up\n";
  call(64, 1, (long)text, sizeof text - 1);
  call(93, (long)total, 0, 0);
  for (;;) {
  }
}
