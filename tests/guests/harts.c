/*
 * Several harts: started by their software interrupt, they count under locks made of AMOs and of
 * LR/SC, pass messages with fences, interrupt each other, and run code that another one wrote.
 * Which of them is first anywhere is not printed.
 */
#include "support/guest.h"

#define ROUNDS 2000
static volatile u64 go, present;
static volatile u64 finished[8] __attribute__((aligned(64)));
static u64 locked, under_lock[8] __attribute__((aligned(64)));
static u64 by_amo __attribute__((aligned(64)));
static u64 by_sc __attribute__((aligned(64)));
static volatile u64 message[8], ready __attribute__((aligned(64)));
static volatile u64 generation;
static u32 code[8] __attribute__((aligned(64)));

static u64 amo_add(u64 *cell, u64 value) {
  u64 old;
  asm volatile("amoadd.d.aqrl %0, %2, (%1)" : "=r"(old) : "r"(cell), "r"(value) : "memory");
  return old;
}

static void lock(void) {
  u64 taken;
  do {
    asm volatile("amoswap.d.aq %0, %2, (%1)" : "=r"(taken) : "r"(&locked), "r"(1ull) : "memory");
  } while (taken);
}

static void unlock(void) {
  asm volatile("amoswap.d.rl zero, zero, (%0)" ::"r"(&locked) : "memory");
}

/* All harts meet; the last one opens the gate for the next round. */
static void barrier(void) {
  static u64 waiting;
  u64 mine = generation;
  if (amo_add(&waiting, 1) + 1 == present) {
    waiting = 0;
    asm volatile("fence rw, rw");
    generation = mine + 1;
  } else {
    while (generation == mine) asm volatile(".insn 0x0100000f");  /* pause */
  }
  asm volatile("fence rw, rw");
}

static void count(u64 hart) {
  for (u64 i = 0; i < ROUNDS; i++) {
    lock();
    for (int n = 0; n < 8; n++) under_lock[n] += hart + 1;
    unlock();
    amo_add(&by_amo, hart + 1);
    asm volatile("1: lr.d t0, (%0)\nadd t0, t0, %1\nsc.d t1, t0, (%0)\nbnez t1, 1b"
                 ::"r"(&by_sc), "r"(hart + 1) : "t0", "t1", "memory");
  }
}

static void pass_messages(u64 hart) {
  for (u64 i = 1; i <= 200; i++) {
    if (hart == 0) {
      for (int n = 0; n < 8; n++) message[n] = i * n;
      asm volatile("fence w, w");
      ready = i;
    } else {
      while (ready != i) {
      }
      asm volatile("fence r, r");
      for (u64 n = 0; n < 8; n++) {
        if (message[n] != i * n) finished[hart] = 0xbad;
      }
    }
    barrier();
  }
}

/* A ring of software interrupts, taken in M-mode out of wfi. */
static void ring(u64 hart) {
  write_csr(mie, 1 << MSI);
  set_csr(mstatus, MSTATUS_MIE);
  u64 seen = 0;
  if (hart == 0) MSIP(1 % present) = 1;
  while (seen < 20) {
    clear_csr(mstatus, MSTATUS_MIE);
    while (self->logged == seen) {
      asm volatile("wfi");
      set_csr(mstatus, MSTATUS_MIE);
      clear_csr(mstatus, MSTATUS_MIE);
    }
    seen++;
    if (!(hart == 0 && seen == 20)) MSIP((hart + 1) % present) = 1;
  }
  write_csr(mie, 0);
  barrier();
}

static void others_code(u64 hart) {
  for (u32 i = 0; i < 20; i++) {
    if (hart == 0) {
      code[0] = 0x00000513 | (i + 1) << 20;  /* li a0, i + 1 */
      code[1] = 0x00008067;
    }
    barrier();
    asm volatile("fence.i" ::: "memory");
    u64 got = ((u64(*)(void))code)();
    if (got != i + 1) finished[hart] = 0xbad;
    barrier();
  }
}

static void work(u64 hart) {
  count(hart);
  barrier();
  pass_messages(hart);
  others_code(hart);
  ring(hart);
  finished[hart] |= 1;
  barrier();
}

void secondary(u64 hart) {
  while (!go) {
  }
  MSIP(hart) = 0;
  work(hart);
}

int main(void) {
  present = 1;
  for (u64 hart = 1; hart < 8; hart++) {
    MSIP(hart) = 1;
    if (MSIP(hart) == 1) present++;
  }
  show("harts", present);
  asm volatile("fence rw, rw");
  go = 1;
  work(0);
  u64 sum = ROUNDS * present * (present + 1) / 2;
  for (int n = 0; n < 8; n++) expect("under the lock", under_lock[n], sum);
  expect("by AMO", by_amo, sum);
  expect("by LR and SC", by_sc, sum);
  for (u64 hart = 0; hart < present; hart++) expect("finished", finished[hart], 1);
  return 0;
}
