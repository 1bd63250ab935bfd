/*
 * Every synchronous exception from every mode, delegation, the stack of interrupt bits in mstatus,
 * and the switches that make instructions illegal: FS, TVM, TW, TSR, counter enables.
 */
#include "support/guest.h"

static const char *mode_name[] = {"U ", "S ", "?", "M "};
/* Two bytes of zeros and c.nop. */
enum { c_illegal = 0x00010000 };
static const u64 modes[] = {USER, SUPERVISOR, MACHINE};

static u64 load(u64 address) {
  u64 value = 0x1d;
  asm volatile("ld %0, 0(%1)" : "+r"(value) : "r"(address));
  return value;
}
static u64 store(u64 address) {
  asm volatile("sd zero, 0(%0)" ::"r"(address) : "memory");
  return 0;
}
static u64 jump(u64 address) { return ((u64(*)(void))address)(); }

static void each_mode(const char *what, void *function, u64 argument) {
  for (int i = 0; i < 3; i++) {
    put(mode_name[modes[i]]);
    attempt(modes[i], function, argument);
    show_trap(what);
  }
}

static void exceptions(void) {
  static u64 data[2];
  each_mode("load nowhere", load, NOWHERE);
  each_mode("load beyond memory", load, 0x100000000000ull);
  each_mode("store nowhere", store, NOWHERE + 8);
  each_mode("jump nowhere", jump, NOWHERE + 4);
  each_mode("misaligned load", load, (u64)data + 3);
  each_mode("misaligned store", store, (u64)data + 5);
  each_mode("all zeros", instruction(c_illegal), 0);
  each_mode("all ones", instruction(0xffffffff), 0);
  each_mode("reserved c.lwsp", instruction(0x00014002), 0);
  each_mode("reserved fence", instruction(0x0ff0000f | 5 << 7), 0);
  each_mode("ecall", instruction(0x00000073), 0);
  each_mode("lr.d misaligned", instruction(0x1005352f), (u64)data + 4);   /* lr.d a0, (a0) */
  /* QEMU 7.2 has the causes of a load for an AMO, the manual those of a store. */
  attempt(USER, instruction(0x00a5352f), (u64)data + 1);
  expect("amoadd.d misaligned", self->trap.cause | 2, STORE_MISALIGNED);
  attempt(USER, instruction(0x00a5252f), NOWHERE);
  expect("amoadd.w nowhere", self->trap.cause | 2, STORE_ACCESS);
  each_mode("lr.w nowhere", instruction(0x1005252f), NOWHERE);
  attempt(USER, instruction(0x30200073), 0);
  expect_trap("mret in U", ILLEGAL, 0x30200073);
  attempt(SUPERVISOR, instruction(0x30200073), 0);
  expect_trap("mret in S", ILLEGAL, 0x30200073);
  each_mode("sfence.vma", instruction(0x12000073), 0);
  for (int i = 0; i < 3; i++) {
    attempt(modes[i], instruction(0x00100073), 0);
    expect("ebreak", self->trap.cause, BREAKPOINT);
  }
}

static void delegation(void) {
  u64 delegable = 0xb3ff;
  write_csr(medeleg, -1ull);
  show("medeleg", read_csr(medeleg) & delegable);
  write_csr(mideleg, -1ull);
  show("mideleg", read_csr(mideleg) & 0xaaa);
  write_csr(mideleg, 0);
  write_csr(medeleg, delegable & ~(1 << ECALL_S));
  each_mode("delegated load nowhere", load, NOWHERE);
  each_mode("delegated illegal", instruction(c_illegal), 0);
  each_mode("delegated jump", jump, NOWHERE + 2);
  each_mode("delegated ecall", instruction(0x00000073), 0);
  attempt(SUPERVISOR, instruction(c_illegal), 0);
  expect("SPP of S", self->trap.status & MSTATUS_SPP, MSTATUS_SPP);
  attempt(USER, instruction(c_illegal), 0);
  expect("SPP of U", self->trap.status & MSTATUS_SPP, 0);
  write_csr(medeleg, 0);
  attempt(USER, instruction(c_illegal), 0);
  expect("MPP of U", self->trap.status & MSTATUS_MPP, 0);
  attempt(SUPERVISOR, instruction(c_illegal), 0);
  expect("MPP of S", self->trap.status & MSTATUS_MPP, 1 << 11);
  attempt(MACHINE, instruction(c_illegal), 0);
  expect("MPP of M", self->trap.status & MSTATUS_MPP, MSTATUS_MPP);
}

static u64 supervisor_return(u64 enabled) {
  u64 after;
  set_csr(sstatus, MSTATUS_SPP | (enabled ? MSTATUS_SPIE : MSTATUS_SIE));
  asm volatile("la t0, 1f\ncsrw sepc, t0\nsret\n1: csrr %0, sstatus" : "=r"(after)::"t0");
  return after;
}

/* What a trap and a return do to the interrupt enables and previous modes. */
static void status_stack(void) {
  u64 bits = MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_MPP |
             MSTATUS_MPRV;
  write_csr(mie, 0);
  for (u64 before = 0; before < 2; before++) {
    u64 after;
    clear_csr(mstatus, bits);
    set_csr(mstatus, before ? MSTATUS_MIE : MSTATUS_MPIE);
    attempt(MACHINE, instruction(c_illegal), 0);
    show("in the handler", self->trap.status & bits);
    show("after mret", read_csr(mstatus) & bits);
    for (int i = 0; i < 3; i++) {
      clear_csr(mstatus, bits);
      set_csr(mstatus, modes[i] << 11);
      expect("MPP written", (read_csr(mstatus) & MSTATUS_MPP) >> 11, modes[i]);
    }
    clear_csr(mstatus, bits);
    set_csr(mstatus, MSTATUS_MPP | MSTATUS_MPRV | (before ? MSTATUS_MPIE : 0));
    asm volatile("la t0, 1f\ncsrw mepc, t0\nmret\n1: csrr %0, mstatus" : "=r"(after)::"t0");
    show("mret to M", after & bits);
    clear_csr(mstatus, bits);
    show("sret to S", attempt(SUPERVISOR, supervisor_return, before) & bits);
    expect_no_trap("sret to S");
  }
  clear_csr(mstatus, bits);
  set_csr(mstatus, MSTATUS_MPP);
}

static void switches(void) {
  u32 read_satp = 0x18002573, write_satp = 0x18001073, sret_word = 0x10200073, wfi = 0x10500073;
  u32 fmv = 0xf2000553 /* fmv.d.x fa0, zero */, read_fcsr = 0x00302573, fsd = 0x00a57027;
  static u64 data;
  set_csr(mstatus, MSTATUS_TVM);
  each_mode("TVM: read satp", instruction(read_satp), 0);
  each_mode("TVM: write satp", instruction(write_satp), 0);
  each_mode("TVM: sfence.vma", instruction(0x12000073), 0);
  clear_csr(mstatus, MSTATUS_TVM);
  each_mode("read satp", instruction(read_satp), 0);
  set_csr(mstatus, MSTATUS_TSR);
  attempt(SUPERVISOR, instruction(sret_word), 0);
  expect_trap("TSR: sret", ILLEGAL, sret_word);
  clear_csr(mstatus, MSTATUS_TSR);
  attempt(USER, instruction(sret_word), 0);
  expect_trap("sret in U", ILLEGAL, sret_word);
  set_csr(mstatus, MSTATUS_TW);
  attempt(SUPERVISOR, instruction(wfi), 0);
  expect_trap("TW: wfi", ILLEGAL, wfi);
  clear_csr(mstatus, MSTATUS_TW);

  clear_csr(mstatus, MSTATUS_FS);
  each_mode("FS off: fmv.d.x", instruction(fmv), 0);
  each_mode("FS off: read fcsr", instruction(read_fcsr), 0);
  each_mode("FS off: fsd", instruction(fsd), (u64)&data);
  set_csr(mstatus, 1 << 13);
  attempt(MACHINE, instruction(fsd), (u64)&data);
  expect("FS initial after fsd", (read_csr(mstatus) & MSTATUS_FS) >> 13, 1);
  expect("SD", read_csr(mstatus) >> 63, 0);
  attempt(MACHINE, instruction(fmv), 0);
  expect("FS after fmv.d.x", (read_csr(mstatus) & MSTATUS_FS) >> 13, 3);
  expect("SD", read_csr(mstatus) >> 63, 1);
  clear_csr(mstatus, MSTATUS_FS);
  set_csr(mstatus, 2 << 13);
  attempt(MACHINE, instruction(0x00301073), 0);  /* csrw fcsr, zero */
  expect("FS after csrw fcsr", (read_csr(mstatus) & MSTATUS_FS) >> 13, 3);
  attempt(MACHINE, instruction(0x00251073 | 10 << 15), 5);  /* frm = 5 */
  attempt(MACHINE, instruction(0x02a57553 | 7 << 12), 0);   /* fadd.d with dynamic rounding */
  show_trap("frm 5: fadd.d");
  attempt(MACHINE, instruction(0x02a55553), 0);             /* fadd.d with rounding mode 5 */
  show_trap("rm 5: fadd.d");
  asm volatile("fsrmi 0");
}

static void counters(void) {
  static const char *names[] = {"write cycle", "write time", "write instret"};
  for (u64 machine = 0; machine < 8; machine++) {
    for (u64 supervisor = 0; supervisor < 8; supervisor++) {
      u64 allowed = 0;
      write_csr(mcounteren, machine);
      write_csr(scounteren, supervisor);
      for (u32 n = 0; n < 3; n++) {
        void *read = instruction(0xc0002573 | n << 20);
        attempt(USER, read, 0);
        allowed |= (u64)(self->trap.count == 0) << n;
        attempt(SUPERVISOR, read, 0);
        allowed |= (u64)(self->trap.count == 0) << (n + 4);
      }
      expect("counters allowed", allowed, (machine & supervisor) | machine << 4);
    }
  }
  for (u32 n = 0; n < 3; n++) each_mode(names[n], instruction(0xc0051073 | n << 20), 0);
  write_csr(mcounteren, 7);
  write_csr(scounteren, 7);
  u64 first, second;
  asm volatile("csrr %0, instret\nnop\nnop\nnop\ncsrr %1, instret" : "=&r"(first), "=&r"(second));
  expect("instret moves", second > first, 1);
  asm volatile("csrr %0, cycle\nnop\ncsrr %1, cycle" : "=&r"(first), "=&r"(second));
  expect("cycle moves", second > first, 1);
}

static void vectored(void) {
  u64 old = read_csr(mtvec);
  write_csr(mtvec, old | 1);
  attempt(MACHINE, instruction(c_illegal), 0);
  expect_trap("illegal with vectored mtvec", ILLEGAL, 0);
  write_csr(mtvec, old);
}

int main(void) {
  expect("misa", read_csr(misa) & 0xc00000000014112dull, 0x800000000014112dull);
  show("mhartid", read_csr(mhartid));
  exceptions();
  delegation();
  status_stack();
  switches();
  counters();
  vectored();
  return 0;
}

void secondary(u64 hart) { (void)hart; }
