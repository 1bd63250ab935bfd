/*
 * Which CSRs exist in which mode, and what their fields hold after all ones, zeros and a pattern:
 * masked to the fields that the board promises.
 */
#include "support/guest.h"

static bool readable(u64 mode, u32 csr) {
  attempt(mode, instruction(0x00002573 | csr << 20), 0);
  return self->trap.count == 0;
}

static bool writable(u64 mode, u32 csr) {
  /* csrrci with all five bits clear writes nothing, csrrsi with none does not even try: read it,
     then write the value back. */
  const u32 words[] = {0x00002573 | csr << 20, 0x00051073 | csr << 20};
  attempt(mode, instructions(words, 2), 0);
  return self->trap.count == 0;
}

/* Counters that count nothing may be there as zeros; vstimecmp is there on QEMU without need. */
static bool promised(u32 csr) {
  bool counter = (csr & ~0x1fu) == 0xc00 || (csr & ~0x1fu) == 0xb00;
  return !(counter && (csr & 31) > 2) && csr != 0x24d;
}

static void scan(const char *name, u64 mode, bool (*works)(u64, u32)) {
  u32 start = 0;
  bool inside = false;
  put(name);
  for (u32 csr = 0; csr <= 0x1000; csr++) {
    bool now = csr < 0x1000 && promised(csr) && works(mode, csr);
    if (now && !inside) start = csr;
    if (!now && inside) {
      put(" ");
      hex(start);
      if (csr - 1 > start) {
        put("-");
        hex(csr - 1);
      }
    }
    inside = now;
  }
  put("\n");
}

/* Writes, reads back, restores. */
static u64 hold(u32 csr, u64 value) {
  const u32 words[] = {
      0x000022f3 | csr << 20,  /* csrr t0 */
      0x00051073 | csr << 20,  /* csrw a0 */
      0x00002573 | csr << 20,  /* csrr a0 */
      0x00029073 | csr << 20,  /* csrw t0 */
  };
  return attempt(MACHINE, instructions(words, 4), value);
}

static void fields(const char *name, u32 csr, u64 mask) {
  put(name);
  put(":");
  const u64 values[] = {-1ull, 0, 0xa5a5a5a5a5a5a5a4ull, 0x5a5a5a5a5a5a5a58ull};
  for (int i = 0; i < 4; i++) {
    put(" ");
    hex(hold(csr, values[i]) & mask);
  }
  expect_no_trap(name);
  put("\n");
}

int main(void) {
  set_csr(0x30a, 1ull << 63);  /* menvcfg.STCE: stimecmp is there for S-mode */
  write_csr(mcounteren, 7);
  write_csr(scounteren, 7);
  scan("read in U:", USER, readable);
  scan("read in S:", SUPERVISOR, readable);
  scan("read in M:", MACHINE, readable);

  u64 interrupts = 0xaaa;
  /* UXL may be read-only. */
  fields("mstatus", 0x300, 0x8000000c007e79aaull);
  fields("sstatus", 0x100, 0x80000000000de122ull);
  fields("mie", 0x304, interrupts);
  fields("sie without delegation", 0x104, interrupts);
  fields("mip", 0x344, interrupts & ~0x880);
  fields("medeleg", 0x302, 0xb3ff);
  fields("mideleg", 0x303, interrupts);
  write_csr(mideleg, 0x222);
  fields("sie", 0x104, interrupts);
  fields("sip", 0x144, interrupts);
  write_csr(mideleg, 0);
  fields("mscratch", 0x340, -1ull);
  fields("sscratch", 0x140, -1ull);
  fields("mepc", 0x341, ~1ull);
  fields("sepc", 0x141, ~1ull);
  fields("mtval", 0x343, -1ull);
  fields("stval", 0x143, -1ull);
  fields("mcause", 0x342, 1ull << 63 | 15);
  fields("scause", 0x142, 1ull << 63 | 15);
  fields("mcounteren", 0x306, 7);
  fields("scounteren", 0x106, 7);
  fields("fcsr", 0x003, -1ull);
  fields("frm", 0x002, -1ull);
  fields("fflags", 0x001, -1ull);
  fields("stimecmp", 0x14d, -1ull);
  fields("pmpaddr0", 0x3b0, (1ull << 54) - 1);
  show("stvec direct", hold(0x105, 0x80001234));
  show("mtvec vectored", hold(0x305, 0x80001235));
  const u64 satps[] = {8ull << 60 | 0x80000, 9ull << 60 | 0x12345678, 8ull << 60 | 0xffffull << 44,
                       1ull << 60, 15ull << 60, 0};
  for (int i = 0; i < 6; i++) show("satp", hold(0x180, satps[i]));

  /* Reads through set and clear with no bits do not write. */
  attempt(SUPERVISOR, instruction(0xc0002573), 0);
  show_trap("csrrs of a read-only CSR with x0");
  attempt(SUPERVISOR, instruction(0xc0007573), 0);
  show_trap("csrrci 0 of a read-only CSR");
  attempt(SUPERVISOR, instruction(0xc000f573), 0);
  show_trap("csrrci 1 of a read-only CSR");
  expect("fcsr is written in U", writable(USER, 0x003), 1);
  expect("cycle is not", writable(MACHINE, 0xc00), 0);

  /* mcycle and minstret can be set. */
  u64 value;
  asm volatile("li t0, 1000000000\ncsrw minstret, t0\nnop\nnop\ncsrr %0, minstret"
               : "=r"(value)::"t0");
  expect("minstret is near what was written", value - 1000000000 < 100000000, 1);
  return 0;
}

void secondary(u64 hart) { (void)hart; }
