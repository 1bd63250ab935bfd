#include "guest.h"

#define LEAVE 0x1ea7e

struct hart harts[8];
static u64 wrong;

void *memset(void *to, int byte, unsigned long count) {
  for (u8 *p = to; count > 0; count--) *p++ = byte;
  return to;
}

void *memcpy(void *to, const void *from, unsigned long count) {
  const u8 *q = from;
  for (u8 *p = to; count > 0; count--) *p++ = *q++;
  return to;
}

static void put_char(char c) {
  while (!(UART[5] & 0x20)) {
  }
  UART[0] = c;
}

void put(const char *text) {
  while (*text) put_char(*text++);
}

void hex(u64 value) {
  int shift = 60;
  while (shift > 0 && (value >> shift) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) put_char("0123456789abcdef"[(value >> shift) & 15]);
}

void show(const char *name, u64 value) {
  put(name);
  put(" = ");
  hex(value);
  put("\n");
}

void expect(const char *name, u64 value, u64 wanted) {
  put(name);
  put(" = ");
  hex(value);
  if (value != wanted) {
    wrong++;
    put(" WRONG, expected ");
    hex(wanted);
  }
  put("\n");
}

void show_trap(const char *name) {
  put(name);
  if (self->trap.count == 0) {
    put(": no trap\n");
    return;
  }
  put(": cause ");
  hex(self->trap.cause);
  put(" tval ");
  hex(self->trap.tval);
  put(self->trap.handled_by == MACHINE ? " in M" : " in S");
  if (self->trap.count != 1) {
    put(" count ");
    hex(self->trap.count);
  }
  put("\n");
}

void expect_trap(const char *name, u64 cause, u64 tval) {
  show_trap(name);
  if (self->trap.count == 1 && self->trap.cause == cause && self->trap.tval == tval) return;
  wrong++;
  put("  WRONG, expected one trap, cause ");
  hex(cause);
  put(" tval ");
  hex(tval);
  put("\n");
}

void expect_no_trap(const char *name) {
  if (self->trap.count == 0) return;
  show_trap(name);
  put("  WRONG, expected none\n");
  wrong++;
}

void finish(void) {
  show("wrong", wrong);
  *(volatile u32 *)0x100000 = 0x5555;
  for (;;) {
  }
}

u64 attempt(u64 mode, void *function, u64 argument) {
  self->trap.count = 0;
  if (mode != MACHINE) return enter(mode, function, argument);
  return ((u64(*)(u64))function)(argument);
}

static u32 buffer[64] __attribute__((aligned(64)));

void *instructions(const u32 *words, int count) {
  for (int i = 0; i < count; i++) buffer[i] = words[i];
  buffer[count] = 0x00008067;  /* ret */
  asm volatile("fence.i" ::: "memory");
  return buffer;
}

void *instruction(u32 word) { return instructions(&word, 1); }

/* Takes away the reason of an interrupt, by M-mode's means or S-mode's. */
static void silence(u64 code, u64 by) {
  switch (code) {
    case MSI: MSIP(read_csr(mhartid)) = 0; break;
    case MTI: MTIMECMP(read_csr(mhartid)) = -1ull; break;
    case SSI:
    case STI:
    case SEI:
      if (by == MACHINE) clear_csr(mip, 1 << code);
      else clear_csr(sie, 1 << code);
      break;
    case MEI: clear_csr(mie, 1 << MEI); break;
  }
}

static void record(struct frame *frame, u64 by, u64 cause, u64 tval, u64 status) {
  if (cause & INTERRUPT) {
    u64 n = self->logged++;
    if (n < 8) self->log[n] = (cause & 63) | (by << 8);
    silence(cause & 63, by);
    return;
  }
  self->trap.count++;
  self->trap.cause = cause;
  self->trap.epc = frame->epc;
  self->trap.tval = tval;
  self->trap.status = status;
  self->trap.handled_by = by;
  bool fetch = cause == FETCH_MISALIGNED || cause == FETCH_ACCESS || cause == FETCH_PAGE;
  if (fetch) frame->epc = frame->x[0];
  else frame->epc += (*(u16 *)frame->epc & 3) == 3 ? 4 : 2;
}

void left(void);

void machine_trap(struct frame *frame) {
  u64 cause = read_csr(mcause);
  bool ecall = cause == ECALL_U || cause == ECALL_S;
  if (ecall && frame->x[16] == LEAVE) {
    frame->epc = (u64)left;
    set_csr(mstatus, MSTATUS_MPP);
    return;
  }
  record(frame, MACHINE, cause, read_csr(mtval), read_csr(mstatus));
}

void supervisor_trap(struct frame *frame) {
  u64 cause = read_csr(scause);
  if (cause == ECALL_U && frame->x[16] == LEAVE) {
    register u64 a0 asm("a0") = frame->x[9];
    register u64 a7 asm("a7") = LEAVE;
    write_csr(sscratch, (u64)frame + 256);
    asm volatile("ecall" ::"r"(a0), "r"(a7));
  }
  record(frame, SUPERVISOR, cause, read_csr(stval), read_csr(sstatus));
}
