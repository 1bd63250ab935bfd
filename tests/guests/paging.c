/*
 * Sv39 and Sv48: every combination of PTE bits under every access and mode, accessed and dirty bits
 * by hardware, superpages, addresses that are not canonical, accesses that cross pages, remapping,
 * MPRV, and walks that leave memory or meet PMP.
 *
 * Two address spaces share the test's pages; one maps everything else one to one for S-mode, the
 * other for U-mode. The M-mode handler runs untranslated.
 */
#include "support/guest.h"

enum { V = 1, R = 2, W = 4, X = 8, U = 16, G = 32, A = 64, D = 128 };
#define PAGE 4096
#define TEST 0x1000000000ull         /* a positive address that nothing else uses */
#define HIGH 0xffffffc000000000ull   /* a negative one */
#define SV39 (8ull << 60)
#define SV48 (9ull << 60)

typedef u64 table[512] __attribute__((aligned(PAGE)));
static table root39[2], root48[2], top39[2], middle, last;
static u8 data[4 * PAGE] __attribute__((aligned(PAGE)));

static u64 load8(u64 a) { u64 v; asm volatile("lbu %0, 0(%1)" : "=r"(v) : "r"(a)); return v; }
static u64 load64(u64 a) {
  u64 v = 0xdead;
  asm volatile("ld %0, 0(%1)" : "+r"(v) : "r"(a));
  return v;
}
static u64 store8(u64 a) { asm volatile("sb zero, 0(%0)" ::"r"(a) : "memory"); return 0; }
static u64 store64(u64 a) { asm volatile("sd zero, 0(%0)" ::"r"(a) : "memory"); return 0; }
static u64 amo(u64 a) { asm volatile("amoadd.w zero, zero, (%0)" ::"r"(a) : "memory"); return 0; }
static u64 call(u64 a) { return ((u64(*)(void))a)(); }

static u64 leaf(const void *page, u64 flags) { return (u64)page >> 2 | flags; }
static u64 pointer(const void *next) { return (u64)next >> 2 | V; }

static void flush(void) { asm volatile("sfence.vma\nfence.i" ::: "memory"); }

static void space(u64 kind, u64 mode) {
  u64 *root = kind == SV39 ? root39[mode] : root48[mode];
  write_csr(satp, kind | (u64)root >> 12);
  flush();
}

static void build(void) {
  for (int mode = 0; mode < 2; mode++) {
    u64 all = V | R | W | X | A | D | (mode == USER ? U : 0);
    for (int g = 0; g < 4; g++) root39[mode][g] = leaf((void *)((u64)g << 30), all);
    root39[mode][TEST >> 30] = pointer(middle);
    root39[mode][256] = pointer(middle);
    for (int i = 0; i < 512; i++) top39[mode][i] = root39[mode][i];
    root48[mode][0] = pointer(top39[mode]);
    root48[mode][511] = pointer(top39[mode]);
    top39[mode][256] = pointer(middle);
  }
  middle[0] = pointer(last);
}

static u64 access(u64 mode, u64 (*function)(u64), u64 address) {
  space(SV39, mode);
  u64 result = attempt(mode, function, address);
  write_csr(satp, 0);
  return result;
}

/* One line for each set of bits: for each access the letter if allowed, then the PTE's A and D. */
static void permissions(const char *name, u64 mode, u64 status) {
  static u64 (*const accesses[])(u64) = {load8, store8, call};
  u64 wrong_causes = 0;
  *(u32 *)data = 0x00008067;
  for (u64 flags = 0; flags < 256; flags++) {
    if (flags & G) continue;
    put(name);
    put(" ");
    hex(flags);
    put(":");
    for (int i = 0; i < 3; i++) {
      last[0] = leaf(data, flags);
      *(u32 *)data = 0x00008067;
      set_csr(mstatus, status);
      access(mode, accesses[i], TEST + (i == 1 ? 8 : 0));
      clear_csr(mstatus, status);
      static const u64 causes[] = {LOAD_PAGE, STORE_PAGE, FETCH_PAGE};
      bool trapped = self->trap.count != 0;
      if (trapped && self->trap.cause != causes[i]) wrong_causes++;
      put(trapped ? " -" : i == 0 ? " r" : i == 1 ? " w" : " x");
      put(last[0] & A ? "a" : ".");
      put(last[0] & D ? "d" : ".");
    }
    put("\n");
  }
  expect("other causes", wrong_causes, 0);
}

static void reserved_bits(void) {
  for (int bit = 54; bit < 64; bit++) {
    last[0] = leaf(data, V | R | A | D) | 1ull << bit;
    access(SUPERVISOR, load8, TEST);
    expect_trap("reserved bit in a leaf", LOAD_PAGE, TEST);
    last[0] = leaf(data, V | R | A | D);
    middle[0] = pointer(last) | 1ull << bit;
    access(SUPERVISOR, load8, TEST);
    expect_trap("reserved bit in a pointer", LOAD_PAGE, TEST);
    middle[0] = pointer(last);
  }
  static const u64 flags[] = {A, D, U};
  for (int i = 0; i < 3; i++) {
    middle[0] = pointer(last) | flags[i];
    access(SUPERVISOR, load8, TEST);
    expect_trap("leaf's bit in a pointer", LOAD_PAGE, TEST);
  }
  middle[0] = pointer(last);
  last[0] = pointer(middle);
  access(SUPERVISOR, load8, TEST);
  expect_trap("pointer at the last level", LOAD_PAGE, TEST);
}

static void superpages(void) {
  u64 mega = (u64)data & ~0x1fffffull;
  u64 inside = (u64)data & 0x1fffff;
  data[5] = 0x5a;
  middle[1] = leaf((void *)mega, V | R | W | A | D);
  expect("2 MiB page", access(SUPERVISOR, load8, TEST + 0x200000 + inside + 5), 0x5a);
  middle[1] = leaf((void *)(mega + PAGE), V | R | W | A | D);
  access(SUPERVISOR, load8, TEST + 0x200000);
  expect_trap("misaligned 2 MiB page", LOAD_PAGE, TEST + 0x200000);
  middle[1] = leaf((void *)mega, V | R | W);
  access(SUPERVISOR, store8, TEST + 0x200000 + inside);
  expect("A and D of a 2 MiB page", middle[1] & (A | D), A | D);
  middle[1] = 0;
  u64 *slot = &root39[SUPERVISOR][(TEST >> 30) + 1];
  *slot = leaf((void *)0x80000000, V | R);
  u64 giga = TEST + 0x40000000;
  expect("1 GiB page", access(SUPERVISOR, load8, giga + (u64)data - 0x80000000 + 5), 0x5a);
  expect("its A and D", *slot & (A | D), A);
  *slot = leaf((void *)0x80200000, V | R);
  access(SUPERVISOR, store8, TEST + 0x40000000);
  expect_trap("misaligned 1 GiB page", STORE_PAGE, TEST + 0x40000000);
  *slot = 0;
}

static void canonical(void) {
  last[0] = leaf(data, V | R | W | X | A | D);
  data[0] = 0x67, data[1] = 0x80, data[2] = 0, data[3] = 0, data[9] = 0x42;
  expect("negative address", access(SUPERVISOR, load8, HIGH + 9), 0x42);
  access(SUPERVISOR, call, HIGH);
  expect_no_trap("code at a negative address");
  static const u64 bad[] = {0x4000000000, 0x8000000000, 0xffffff8000000000, 1ull << 63 | TEST,
                            TEST | 1ull << 39, 0x7fffffffffffff00, HIGH - 1};
  for (int i = 0; i < 7; i++) {
    access(SUPERVISOR, load8, bad[i]);
    expect_trap("not canonical", LOAD_PAGE, bad[i]);
    access(SUPERVISOR, store8, bad[i]);
    expect_trap("not canonical", STORE_PAGE, bad[i]);
  }
  access(SUPERVISOR, call, 0x4000000000);
  expect_trap("not canonical", FETCH_PAGE, 0x4000000000);
}

static void crossing(void) {
  u64 edge = TEST + PAGE;
  u64 *left_bytes = (u64 *)(data + PAGE - 8), *right_bytes = (u64 *)(data + 2 * PAGE);
  for (int present = 0; present < 4; present++) {
    last[0] = leaf(data, R | W | A | D | (present & 1 ? V : 0));
    last[1] = leaf(data + 2 * PAGE, R | W | A | D | (present & 2 ? V : 0));
    for (int before = 1; before < 8; before += 3) {
      *left_bytes = 0x1122334455667788, *right_bytes = 0x99aabbccddeeff00;
      show("crossing load", access(SUPERVISOR, load64, edge - before));
      show_trap("crossing load");
      access(SUPERVISOR, store64, edge - before);
      show_trap("crossing store");
      show("left", *left_bytes);
      show("right", *right_bytes);
    }
  }
  last[0] = leaf(data, V | R | A);
  last[1] = leaf(data + 2 * PAGE, V | R | W | A);
  access(SUPERVISOR, store64, edge - 4);
  expect_trap("crossing store from a read-only page", STORE_PAGE, edge - 4);
  last[0] = leaf(data, V | R | W | A);
  last[1] = leaf(data + 2 * PAGE, V | R | A);
  access(SUPERVISOR, store64, edge - 4);
  expect_trap("crossing store into a read-only page", STORE_PAGE, edge);
  last[1] = leaf(data + 2 * PAGE, V | R | W);
  last[0] = leaf(data, V | R | W);
  access(SUPERVISOR, store64, edge - 4);
  expect_no_trap("crossing store");
  expect("A and D of both", (last[0] & last[1]) & (A | D), A | D);

  /* addi a0, zero, 77 of four bytes across the edge, then ret. */
  *(u16 *)(data + PAGE - 2) = 0x0513;
  *(u16 *)(data + 2 * PAGE) = 0x04d0;
  *(u16 *)(data + 2 * PAGE + 2) = 0x8082;
  last[0] = leaf(data, V | X | A);
  last[1] = leaf(data + 2 * PAGE, V | X | A);
  expect("instruction across the edge", access(SUPERVISOR, call, edge - 2), 77);
  last[1] = leaf(data + 2 * PAGE, V | R | A);
  access(SUPERVISOR, call, edge - 2);
  expect_trap("its second half may not run", FETCH_PAGE, edge);
  expect("its epc", self->trap.epc, edge - 2);
  last[0] = leaf(data, V | R | A);
  last[1] = leaf(data + 2 * PAGE, V | X | A);
  access(SUPERVISOR, call, edge - 2);
  expect_trap("its first half may not run", FETCH_PAGE, edge - 2);
  *(u16 *)(data + PAGE - 2) = 0x8082;
  last[0] = leaf(data, V | X);
  last[1] = 0;
  access(SUPERVISOR, call, edge - 2);
  expect_no_trap("a short instruction at the edge");
  expect("A of code", last[0] & (A | D), A);
}

static void remapping(void) {
  data[0] = 1, data[PAGE] = 2, data[2 * PAGE] = 3;
  u64 sum = 0;
  for (int i = 0; i < 300; i++) {
    last[0] = leaf(data + i % 3 * PAGE, V | R | W);
    sum = sum * 3 + access(SUPERVISOR, load8, TEST);
  }
  show("remapped", sum);
  /* One page of code at two addresses, and another one put in its place. */
  *(u32 *)data = 0x00100513, *(u32 *)(data + 4) = 0x00008067;
  *(u32 *)(data + PAGE) = 0x00200513, *(u32 *)(data + PAGE + 4) = 0x00008067;
  sum = 0;
  for (int i = 0; i < 50; i++) {
    last[2] = leaf(data + i % 2 * PAGE, V | X);
    last[3] = leaf(data + (i + 1) % 2 * PAGE, V | X);
    sum = sum * 5 + access(SUPERVISOR, call, TEST + 2 * PAGE) * 4;
    sum += access(SUPERVISOR, call, TEST + 3 * PAGE);
  }
  show("remapped code", sum);
  last[2] = leaf(data, V | R | W | A | D);
  access(SUPERVISOR, store8, TEST + 2 * PAGE);
  last[2] = leaf(data, V | R | A | D);
  access(SUPERVISOR, store8, TEST + 2 * PAGE);
  expect_trap("write-protected", STORE_PAGE, TEST + 2 * PAGE);
  last[2] = 0;
  access(SUPERVISOR, load8, TEST + 2 * PAGE);
  expect_trap("unmapped", LOAD_PAGE, TEST + 2 * PAGE);
}

/* In M-mode with MPRV: data as the previous mode, code as ever. */
static void mprv(void) {
  for (u64 mode = 0; mode < 2; mode++) {
    for (u64 user = 0; user < 2; user++) {
      last[0] = leaf(data, V | R | A | (user ? U : 0));
      data[0] = 0x33;
      space(SV39, mode);
      clear_csr(mstatus, MSTATUS_MPP);
      set_csr(mstatus, mode << 11);
      self->trap.count = 0;
      u64 value = TEST;
      asm volatile("csrs mstatus, %1\nlbu %0, 0(%0)\ncsrc mstatus, %1"
                   : "+r"(value) : "r"(MSTATUS_MPRV));
      write_csr(satp, 0);
      show("MPRV load", value);
      show_trap("MPRV load");
    }
  }
}

static void bad_walks(void) {
  /* The manual wants an access fault, QEMU 7.2 has a page fault. */
  middle[2] = pointer((void *)NOWHERE);
  access(SUPERVISOR, load8, TEST + 0x400000);
  expect("table nowhere: load", self->trap.cause | 8, LOAD_PAGE);
  access(SUPERVISOR, store8, TEST + 0x400000);
  expect("table nowhere: store", self->trap.cause | 8, STORE_PAGE);
  access(SUPERVISOR, call, TEST + 0x400000);
  expect("table nowhere: fetch", self->trap.tval, TEST + 0x400000);
  last[0] = leaf((void *)NOWHERE, V | R | W | X | A | D);
  access(SUPERVISOR, load8, TEST);
  expect_trap("page nowhere: load", LOAD_ACCESS, TEST);
  access(SUPERVISOR, store8, TEST + 7);
  expect_trap("page nowhere: store", STORE_ACCESS, TEST + 7);
  access(SUPERVISOR, call, TEST + 16);
  expect_trap("page nowhere: fetch", FETCH_ACCESS, TEST + 16);
  last[0] = leaf(data, V | R | W | A | D);
  write_csr(pmpaddr0, (u64)last >> 2 | 0x1ff);
  set_csr(pmpcfg0, 0x18);
  access(SUPERVISOR, load8, TEST);
  expect_trap("PMP forbids the table: load", LOAD_ACCESS, TEST);
  access(SUPERVISOR, store8, TEST);
  expect_trap("PMP forbids the table: store", STORE_ACCESS, TEST);
  write_csr(pmpaddr0, (u64)data >> 2 | 0x1ff);
  access(SUPERVISOR, load8, TEST + 1);
  expect_trap("PMP forbids the page: load", LOAD_ACCESS, TEST + 1);
  write_csr(pmpcfg0, 0);
}

static void sv48(void) {
  last[0] = leaf(data, V | R | W | X);
  data[3] = 0x48;
  space(SV48, SUPERVISOR);
  expect("Sv48", attempt(SUPERVISOR, load8, TEST + 3), 0x48);
  expect_no_trap("Sv48");
  expect("Sv48, negative", attempt(SUPERVISOR, load8, HIGH + 3), 0x48);
  attempt(SUPERVISOR, load8, 0x0000800000000000);
  expect_trap("Sv48, not canonical", LOAD_PAGE, 0x0000800000000000);
  attempt(SUPERVISOR, load8, 0x4000000000);
  show_trap("Sv48, canonical here");
  root48[SUPERVISOR][1] = leaf((void *)0, V | R | A);
  expect("512 GiB page", attempt(SUPERVISOR, load8, 0x8000000000 + (u64)data + 3), 0x48);
  root48[SUPERVISOR][1] = leaf((void *)0x40000000, V | R | A);
  flush();
  attempt(SUPERVISOR, load8, 0x8000000000);
  expect_trap("misaligned 512 GiB page", LOAD_PAGE, 0x8000000000);
  write_csr(satp, 0);
}

int main(void) {
  build();
  permissions("U", USER, 0);
  permissions("S", SUPERVISOR, 0);
  permissions("S SUM", SUPERVISOR, MSTATUS_SUM);
  permissions("S MXR", SUPERVISOR, MSTATUS_MXR);
  permissions("U MXR", USER, MSTATUS_MXR);
  last[0] = leaf(data, V | R | W);
  access(SUPERVISOR, amo, TEST);
  expect("A and D after an AMO", last[0] & (A | D), A | D);
  last[0] = leaf(data, V | R | A | D);
  access(SUPERVISOR, amo, TEST);
  expect("AMO on a read-only page", self->trap.cause, STORE_PAGE);
  reserved_bits();
  superpages();
  canonical();
  crossing();
  remapping();
  mprv();
  bad_walks();
  sv48();
  return 0;
}

void secondary(u64 hart) { (void)hart; }
