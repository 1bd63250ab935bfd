/*
 * Interrupts: their priorities, delegation and enables, vectors, wfi, the timers of CLINT and Sstc,
 * and the PLIC's way from the UART to a claim. No time is printed.
 */
#include "support/guest.h"

#define PRIORITY(source) (*(volatile u32 *)(PLIC + 4 * (source)))
#define PENDING (*(volatile u32 *)(PLIC + 0x1000))
#define ENABLE(context) (*(volatile u32 *)(PLIC + 0x2000 + 0x80 * (context)))
#define THRESHOLD(context) (*(volatile u32 *)(PLIC + 0x200000 + 0x1000 * (context)))
#define CLAIM(context) (*(volatile u32 *)(PLIC + 0x200004 + 0x1000 * (context)))
#define UART_IRQ 10
#define ALL 0xaaa
#define SUPERVISOR_BITS 0x222

static u64 nothing(u64 argument) { return argument; }

/*
 * The manual's order is MEI, MSI, MTI, SEI, SSI, STI; QEMU without AIA takes the lowest number
 * first. Either will do; what M-mode takes comes before what S-mode takes in both.
 */
static const u8 manual[] = {MEI, MSI, MTI, SEI, SSI, STI};
static const u8 ascending[] = {SSI, MSI, STI, MTI, SEI, MEI};

static bool by_manual = true;

static bool ordered(const u8 *order) {
  int last = -1;
  for (u64 i = 0; i < self->logged && i < 8; i++) {
    int rank = self->log[i] >> 8 == MACHINE ? 0 : 6;
    for (int n = 0; n < 6; n++) {
      if (order[n] == (self->log[i] & 63)) rank += n;
    }
    if (rank <= last) return false;
    last = rank;
  }
  return true;
}

static void show_log(const char *name) {
  put(name);
  put(":");
  for (int mode = MACHINE; mode >= SUPERVISOR; mode -= 2) {
    for (u64 code = 0; code < 12; code++) {
      for (u64 i = 0; i < self->logged && i < 8; i++) {
        if (self->log[i] != (code | mode << 8)) continue;
        put(" ");
        hex(code);
        put(mode == MACHINE ? "M" : "S");
      }
    }
  }
  put("\n");
  by_manual &= ordered(manual);
  expect("in order", ordered(manual) || ordered(ascending), 1);
  self->logged = 0;
}

static u64 open_and_close(u64 argument) {
  set_csr(mstatus, MSTATUS_MIE);
  clear_csr(mstatus, MSTATUS_MIE);
  return argument;
}

static u64 open_and_close_supervisor(u64 argument) {
  set_csr(sstatus, MSTATUS_SIE);
  clear_csr(sstatus, MSTATUS_SIE);
  return argument;
}

/* Every interrupt at once: the UART by way of the PLIC, the CLINT's two, and S-mode's by hand. */
static void raise_all(void) {
  clear_csr(0x30a, 1ull << 63);  /* without Sstc STIP can be written */
  PRIORITY(UART_IRQ) = 1;
  ENABLE(0) = 1 << UART_IRQ;
  THRESHOLD(0) = 0;
  UART[1] = 2;  /* interrupt when the transmitter is empty */
  MSIP(0) = 1;
  MTIMECMP(0) = 0;
  set_csr(mip, SUPERVISOR_BITS);
}

static void calm(void) {
  write_csr(mie, 0);
  UART[1] = 0;
  ENABLE(0) = 0;
  MSIP(0) = 0;
  MTIMECMP(0) = -1ull;
  clear_csr(mip, SUPERVISOR_BITS);
  write_csr(mideleg, 0);
  clear_csr(mstatus, MSTATUS_MPIE | MSTATUS_SPIE | MSTATUS_SIE);
}

static void priorities(void) {
  calm();
  expect("mip at rest", read_csr(mip) & ALL, 0);
  raise_all();
  expect("mip raised", read_csr(mip) & ALL, ALL);
  open_and_close(0);
  show_log("none enabled");
  for (int bit = 1; bit < 12; bit += 2) {
    write_csr(mie, 1 << bit);
    open_and_close(0);
    show_log("one enabled");
  }
  raise_all();
  write_csr(mie, ALL);
  expect("MIE off", self->logged, 0);
  open_and_close(0);
  show_log("all to M");

  raise_all();
  write_csr(mideleg, SUPERVISOR_BITS);
  write_csr(mie, ALL);
  open_and_close(0);
  show_log("M takes what is not delegated");
  enter(SUPERVISOR, nothing, 0);
  show_log("S with SIE off");
  enter(SUPERVISOR, open_and_close_supervisor, 0);
  show_log("S with SIE on");
  raise_all();
  write_csr(mie, ALL);
  enter(USER, nothing, 0);
  show_log("U takes all");
  raise_all();
  write_csr(mie, ALL);
  enter(SUPERVISOR, nothing, 0);
  show_log("S takes M's although MIE is off");
  raise_all();
  write_csr(mideleg, 1 << SSI);
  write_csr(mie, ALL);
  enter(SUPERVISOR, open_and_close_supervisor, 0);
  show_log("only SSI delegated");
  calm();
}

volatile u64 vector;

/* mtvec + 4 * cause: each slot leaves its own address in t6. */
asm(".balign 256\nvectors:\n.rept 16\n.option push\n.option norvc\njal t6, 1f\n.option pop\n.endr\n"
    "1: la t5, vectors\nsub t6, t6, t5\nla t5, vector\nsd t6, 0(t5)\ncsrw mie, zero\nmret\n");
extern char vectors[];

static void vectored(void) {
  u64 old = read_csr(mtvec);
  for (int bit = 1; bit < 12; bit += 2) {
    raise_all();
    write_csr(mtvec, (u64)vectors | 1);
    write_csr(mie, 1 << bit);
    asm volatile("csrs mstatus, %0\ncsrc mstatus, %0" ::"r"(MSTATUS_MIE) : "t5", "t6", "memory");
    write_csr(mtvec, old);
    expect("vector", vector, 4 * bit + 4);
    calm();
  }
}

static void timers(void) {
  MTIMECMP(0) = MTIME + 100000000;  /* ten seconds: never, on any host */
  expect("MTIP of a far mtimecmp", read_csr(mip) >> MTI & 1, 0);
  write_csr(mie, 1 << MTI);
  u64 due = MTIME + 20000;
  MTIMECMP(0) = due;
  while (!(read_csr(mip) >> MTI & 1)) {
  }
  expect("MTIP not early", MTIME >= due, 1);
  MTIMECMP(0) = -1ull;
  expect("MTIP falls", read_csr(mip) >> MTI & 1, 0);

  /* Through wfi with MIE off: it ends, and nothing is taken. */
  due = MTIME + 20000;
  MTIMECMP(0) = due;
  while (MTIME < due) asm volatile("wfi");
  expect("woken, not taken", self->logged, 0);
  open_and_close(0);
  show_log("then taken");

  /* Two halves, as 32-bit firmware writes it. */
  *(volatile u32 *)(CLINT + 0x4004) = 0xffffffff;
  *(volatile u32 *)(CLINT + 0x4000) = 0x12345678;
  expect("mtimecmp in halves", MTIMECMP(0), 0xffffffff12345678);
  expect("its low half", *(volatile u32 *)(CLINT + 0x4000), 0x12345678);
  u64 first = MTIME, second = read_csr(time), third = MTIME;
  expect("time is mtime", first <= second && second <= third, 1);
  calm();
}

static u64 set_stimecmp(u64 value) {
  write_csr(0x14d, value);
  return read_csr(sip);
}

static void supervisor_timer(void) {
  clear_csr(0x30a, 1ull << 63);
  attempt(SUPERVISOR, set_stimecmp, -1ull);
  expect("stimecmp without STCE", self->trap.cause, ILLEGAL);
  set_csr(0x30a, 1ull << 63);
  clear_csr(mcounteren, 2);
  attempt(SUPERVISOR, set_stimecmp, -1ull);
  expect("stimecmp without TM", self->trap.cause, ILLEGAL);
  set_csr(mcounteren, 2);
  write_csr(mideleg, 1 << STI);
  write_csr(mie, 1 << STI);
  self->logged = 0;
  expect("far stimecmp", attempt(SUPERVISOR, set_stimecmp, -1ull), 0);
  expect("past stimecmp", attempt(SUPERVISOR, set_stimecmp, 0), 1 << STI);
  expect_no_trap("stimecmp");
  set_csr(mip, 1 << STI);
  clear_csr(mip, 1 << STI);
  expect("STIP is read-only", read_csr(mip) >> STI & 1, 1);
  enter(SUPERVISOR, open_and_close_supervisor, 0);
  show_log("supervisor timer");
  write_csr(0x14d, -1ull);
  expect("STIP falls", read_csr(mip) >> STI & 1, 0);
  write_csr(mie, 1 << STI);
  u64 due = MTIME + 20000;
  write_csr(0x14d, due);
  while (read_csr(time) < due) asm volatile("wfi");
  expect("wfi until stimecmp", read_csr(mip) >> STI & 1, 1);
  write_csr(0x14d, -1ull);
  clear_csr(0x30a, 1ull << 63);
  calm();
}

/* Nothing is printed meanwhile: the UART is the source. */
static void plic(int context) {
  static const struct { const char *name; u64 wanted; } steps[] = {
    {"nothing to claim", 0}, {"pending", 1}, {"not above the threshold", 0},
    {"above the threshold", 1}, {"priority 0 never interrupts", 0}, {"claim", UART_IRQ},
    {"claimed: not pending", 0}, {"claimed: no interrupt", 0}, {"claimed: nothing more", 0},
    {"quiet", 0},
  };
  u64 got[10], bit = context == 0 ? MEI : SEI;
  got[0] = CLAIM(context);
  PRIORITY(UART_IRQ) = 3;
  ENABLE(context) = 1 << UART_IRQ;
  THRESHOLD(context) = 3;
  UART[1] = 2;
  got[1] = PENDING >> UART_IRQ & 1;
  got[2] = read_csr(mip) >> bit & 1;
  THRESHOLD(context) = 2;
  got[3] = read_csr(mip) >> bit & 1;
  PRIORITY(UART_IRQ) = 0;
  got[4] = read_csr(mip) >> bit & 1;
  PRIORITY(UART_IRQ) = 7;
  got[5] = CLAIM(context);
  got[6] = PENDING >> UART_IRQ & 1;
  got[7] = read_csr(mip) >> bit & 1;
  got[8] = CLAIM(context);
  UART[1] = 0;
  CLAIM(context) = UART_IRQ;
  u32 claimed = CLAIM(context);
  if (claimed) CLAIM(context) = claimed;
  got[9] = read_csr(mip) >> bit & 1;
  ENABLE(context) = 0;
  THRESHOLD(context) = 0;
  for (int i = 0; i < 10; i++) expect(steps[i].name, got[i], steps[i].wanted);
}

static void plic_registers(void) {
  PRIORITY(UART_IRQ) = 0xffffffff;
  show("priority has three bits", PRIORITY(UART_IRQ) & 7);
  PRIORITY(UART_IRQ) = 0;
  THRESHOLD(0) = 5;
  expect("threshold", THRESHOLD(0), 5);
  THRESHOLD(0) = 0;
}

int main(void) {
  calm();
  priorities();
  vectored();
  timers();
  supervisor_timer();
  plic(0);
  plic(1);
  plic_registers();
  put(by_manual ? "order: by the manual\n" : "order: ascending\n");
  return 0;
}

void secondary(u64 hart) { (void)hart; }
