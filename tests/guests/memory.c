/*
 * Plain memory from M-mode: misaligned accesses of every width across every boundary, AMOs of both
 * widths, LR/SC, and code that changes under the hart.
 */
#include "support/guest.h"

static u8 bytes[64] __attribute__((aligned(4096)));

static void misaligned(void) {
  for (int i = 0; i < 64; i++) bytes[i] = i * 37 + 11;
  u64 sum = 0;
  for (int offset = 0; offset < 48; offset++) {
    sum = sum * 31 + *(volatile u64 *)(bytes + offset);
    sum = sum * 31 + *(volatile int *)(bytes + offset);
    sum = sum * 31 + *(volatile u32 *)(bytes + offset);
    sum = sum * 31 + *(volatile short *)(bytes + offset);
    sum = sum * 31 + *(volatile u16 *)(bytes + offset);
    double d;
    asm volatile("fld %0, 0(%1)" : "=f"(d) : "r"(bytes + offset));
    u64 bits;
    asm volatile("fmv.x.d %0, %1" : "=r"(bits) : "f"(d));
    sum = sum * 31 + bits;
  }
  show("misaligned loads", sum);
  for (int offset = 0; offset < 48; offset++) {
    *(volatile u16 *)(bytes + offset) += offset;
    *(volatile u32 *)(bytes + offset) ^= sum;
    *(volatile u64 *)(bytes + offset) += sum;
  }
  for (int i = 0; i < 64; i++) sum = sum * 31 + bytes[i];
  show("misaligned stores", sum);
}

#define AMO(name, type, suffix)                                                         \
  for (u64 i = 0; i < 6; i++) {                                                         \
    type cell[2] = {(type)operands[i], 0x77};                                           \
    u64 old;                                                                            \
    asm volatile(name suffix " %0, %2, (%1)"                                            \
                 : "=r"(old) : "r"(cell), "r"(operands[5 - i]) : "memory");             \
    sum = (sum * 31 + old) * 31 + (u64)cell[0];                                         \
    if (cell[1] != 0x77) show(name " wrote beyond", cell[1]);                           \
  }
#define BOTH(name)                  \
  {                                 \
    u64 sum = 0;                    \
    AMO(name, u64, ".d")            \
    AMO(name, u32, ".w")            \
    AMO(name, u32, ".w.aqrl")       \
    show(name, sum);                \
  }

static void amos(void) {
  static const u64 operands[] = {5, -7ull, 0x8000000080000000ull, 0x7fffffff7fffffffull,
                                 0x123456789abcdef0ull, 0xfedcba9876543210ull};
  BOTH("amoswap")
  BOTH("amoadd")
  BOTH("amoxor")
  BOTH("amoand")
  BOTH("amoor")
  BOTH("amomin")
  BOTH("amomax")
  BOTH("amominu")
  BOTH("amomaxu")
}

/* All words are 32 bits long and in one line of 64 bytes, as constrained LR/SC loops must be. */
static void reservations(void) {
  static u64 cell[8] __attribute__((aligned(64)));
  u64 failed, value;
  cell[0] = 0xfffffffff0000001ull;
  asm volatile("lr.w %0, (%2)\nsc.w %1, %3, (%2)"
               : "=&r"(value), "=&r"(failed) : "r"(cell), "r"(42ull) : "memory");
  expect("lr.w", value, 0xfffffffff0000001ull);
  expect("sc.w failed", failed, 0);
  expect("sc.w stored", cell[0], 0xffffffff0000002aull);
  asm volatile("sc.w %0, %2, (%1)" : "=&r"(failed) : "r"(cell), "r"(43ull) : "memory");
  expect("second sc failed", failed, 1);
  expect("nothing stored", cell[0], 0xffffffff0000002aull);
  asm volatile("lr.d %0, (%2)\nsc.d %1, %3, (%4)"
               : "=&r"(value), "=&r"(failed) : "r"(cell), "r"(44ull), "r"(cell + 7) : "memory");
  expect("lr.d", value, 0xffffffff0000002aull);
  expect("sc elsewhere failed", failed, 1);
  asm volatile("sc.d %0, %2, (%1)" : "=&r"(failed) : "r"(cell), "r"(45ull) : "memory");
  expect("sc after a failed sc failed", failed, 1);
  asm volatile("lr.d.aq %0, (%2)\nlr.d %0, (%4)\nsc.d.rl %1, %3, (%2)"
               : "=&r"(value), "=&r"(failed) : "r"(cell), "r"(46ull), "r"(cell + 7) : "memory");
  expect("the last lr counts", failed, 1);
  u64 sum = 0;
  for (u64 i = 0; i < 100; i++) {
    asm volatile("1: lr.d %0, (%1)\nadd %0, %0, %2\nsc.d t0, %0, (%1)\nbnez t0, 1b"
                 : "=&r"(value) : "r"(cell + 1), "r"(i) : "t0", "memory");
    sum += i;
  }
  expect("counted by lr and sc", cell[1], sum);
}

/* A function is rewritten a hundred times; fence.i must show every version. */
static void changing_code(void) {
  u64 sum = 0, wanted = 0;
  for (u32 i = 0; i < 100; i++) {
    sum = sum * 3 + attempt(MACHINE, instruction(0x00000513 | (i * 17 % 2048) << 20), 0);
    wanted = wanted * 3 + i * 17 % 2048;
  }
  expect("changing code", sum, wanted);
}

int main(void) {
  misaligned();
  amos();
  reservations();
  changing_code();
  return 0;
}

void secondary(u64 hart) { (void)hart; }
