/*
 * Physical memory protection: NA4, NAPOT and TOR, priority of the lowest entry, locks that bind
 * M-mode, accesses that an entry covers in part, MPRV, and the registers' own rules.
 */
#include "support/guest.h"

enum { R = 1, W = 2, X = 4, TOR = 1 << 3, NA4 = 2 << 3, NAPOT = 3 << 3, LOCK = 1 << 7 };

static u8 area[16384] __attribute__((aligned(16384)));

static u64 load8(u64 a) { u64 v; asm volatile("lbu %0, 0(%1)" : "=r"(v) : "r"(a)); return v; }
static u64 load64(u64 a) { u64 v = 0; asm volatile("ld %0, 0(%1)" : "+r"(v) : "r"(a)); return v; }
static u64 store8(u64 a) { asm volatile("sb zero, 0(%0)" ::"r"(a) : "memory"); return 0; }
static u64 store64(u64 a) { asm volatile("sd zero, 0(%0)" ::"r"(a) : "memory"); return 0; }
static u64 call(u64 a) { return ((u64(*)(void))a)(); }

static u64 configuration;

static void entry(int n, u64 flags, u64 address) {
  switch (n) {
    case 0: write_csr(pmpaddr0, address); break;
    case 1: write_csr(pmpaddr1, address); break;
    case 2: write_csr(pmpaddr2, address); break;
    case 3: write_csr(pmpaddr3, address); break;
    case 4: write_csr(pmpaddr4, address); break;
  }
  configuration = (configuration & ~(0xffull << (n * 8))) | flags << (n * 8);
  write_csr(pmpcfg0, configuration);
  asm volatile("sfence.vma" ::: "memory");
}

static u64 napot(u64 address, u64 size) { return address >> 2 | ((size >> 3) - 1); }

static void probe(const char *name, u64 offset) {
  static u64 (*const accesses[])(u64) = {load8, store8, call};
  static const char letters[] = "rwx";
  char text[4] = "---";
  put(name);
  put(" +");
  hex(offset);
  for (int m = 0; m < 3; m++) {
    u64 mode = m == 2 ? MACHINE : m;
    for (int i = 0; i < 3; i++) {
      *(u32 *)(area + (offset & ~3ull)) = 0x00008067;
      asm volatile("fence.i" ::: "memory");
      attempt(mode, accesses[i], (u64)area + (i == 2 ? offset & ~3ull : offset));
      text[i] = self->trap.count == 0 ? letters[i] : '-';
    }
    put(m == 0 ? " U:" : m == 1 ? " S:" : " M:");
    put(text);
  }
  put("\n");
}

static void straddle(const char *name, u64 offset) {
  attempt(USER, load64, (u64)area + offset);
  self->trap.tval -= self->trap.count ? (u64)area : 0;
  show_trap(name);
  attempt(USER, store64, (u64)area + offset);
  self->trap.tval -= self->trap.count ? (u64)area : 0;
  show_trap(name);
}

int main(void) {
  u64 base = (u64)area;
  probe("all allowed", 0);
  for (u64 flags = 0; flags < 8; flags++) {
    if ((flags & (R | W)) == W) continue;
    entry(0, NAPOT | flags, napot(base, 4096));
    show("flags", flags);
    probe("NAPOT 4096", 0);
    probe("NAPOT 4096", 4092);
    probe("NAPOT 4096", 4096);
  }
  entry(0, NA4 | R, (base + 8) >> 2);
  probe("NA4", 4);
  probe("NA4", 8);
  probe("NA4", 12);
  entry(0, NAPOT, napot(base + 64, 8));
  probe("NAPOT 8", 60);
  probe("NAPOT 8", 64);
  probe("NAPOT 8", 68);
  probe("NAPOT 8", 72);

  entry(0, 0, (base + 0x100) >> 2);
  entry(1, TOR | R | X, (base + 0x200) >> 2);
  probe("TOR", 0xfc);
  probe("TOR", 0x100);
  probe("TOR", 0x1fc);
  probe("TOR", 0x200);
  entry(2, TOR, (base + 0x180) >> 2);  /* empty: its top is below entry 1's */
  probe("empty TOR", 0x180);
  entry(2, 0, 0);

  entry(0, NAPOT | R, napot(base, 64));
  entry(1, NAPOT | R | W, napot(base, 4096));
  entry(2, NAPOT, napot(base, 8192));
  probe("priority", 0);
  probe("priority", 64);
  probe("priority", 4096);
  probe("priority", 8192);

  entry(0, NAPOT | R | W, napot(base + 0x400, 64));
  entry(1, 0, 0);
  entry(2, 0, 0);
  write_csr(mstatus, read_csr(mstatus));
  probe("inside", 0x400);
  entry(1, NAPOT, napot(base, 4096));
  probe("surrounded", 0x3fc);
  probe("surrounded", 0x400);
  probe("surrounded", 0x440);
  straddle("inside", 0x438);

  entry(0, 0, 0);
  entry(1, 0, 0);
  entry(0, NAPOT | LOCK | R, napot(base + 0x1000, 0x1000));
  probe("locked", 0x1000);
  probe("locked", 0x1ffc);
  probe("not locked", 0x2000);
  write_csr(pmpcfg0, 0);
  write_csr(pmpaddr0, 0);
  expect("a lock stays", read_csr(pmpcfg0) & 0xff, NAPOT | LOCK | R);
  expect("its address too", read_csr(pmpaddr0), napot(base + 0x1000, 0x1000));
  probe("still locked", 0x1000);

  /* A locked TOR entry locks the address below it as well. */
  configuration = NAPOT | LOCK | R;
  entry(3, 0, (base + 0x2000) >> 2);
  entry(4, TOR | LOCK | X, (base + 0x3000) >> 2);
  write_csr(pmpaddr3, 0);
  expect("pmpaddr3", read_csr(pmpaddr3), (base + 0x2000) >> 2);
  probe("locked TOR", 0x2000);
  probe("locked TOR", 0x3000);

  /* MPRV: loads and stores as U, fetches as M. */
  entry(1, NAPOT | R, napot(base, 4096));
  clear_csr(mstatus, MSTATUS_MPP);
  self->trap.count = 0;
  u64 at = base, loaded = base;
  asm volatile("csrs mstatus, %0\nsd zero, 0(%1)\ncsrc mstatus, %0"
               ::"r"(MSTATUS_MPRV), "r"(at) : "memory");
  expect("MPRV: store", self->trap.cause, STORE_ACCESS);
  self->trap.count = 0;
  asm volatile("csrs mstatus, %0\nld %1, 0(%1)\ncsrc mstatus, %0"
               : "+r"(loaded) : "r"(MSTATUS_MPRV) : "memory");
  show_trap("MPRV: load");
  return 0;
}

void secondary(u64 hart) { (void)hart; }
