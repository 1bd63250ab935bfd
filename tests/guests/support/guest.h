/*
 * What the guests share. A guest prints only what is deterministic: its output on QEMU and on Umbra
 * must be equal, and it ends by `finish`, which prints how many expectations were wrong.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

enum mode { USER = 0, SUPERVISOR = 1, MACHINE = 3 };

enum cause {
  FETCH_MISALIGNED, FETCH_ACCESS, ILLEGAL, BREAKPOINT, LOAD_MISALIGNED, LOAD_ACCESS,
  STORE_MISALIGNED, STORE_ACCESS, ECALL_U, ECALL_S, ECALL_M = 11, FETCH_PAGE, LOAD_PAGE,
  STORE_PAGE = 15,
};
#define INTERRUPT (1ull << 63)
enum interrupt { SSI = 1, MSI = 3, STI = 5, MTI = 7, SEI = 9, MEI = 11 };

/* The last trap of a hart that was not the return from `enter`. */
struct trap {
  u64 cause, epc, tval, status, count;
  u64 handled_by;  /* MACHINE or SUPERVISOR */
};

struct hart {
  u64 machine_sp, other_sp;  /* used by start.S */
  volatile struct trap trap;
  volatile u64 log[8];       /* interrupts in the order they were taken */
  volatile u64 logged;
  u64 quiet;
} __attribute__((aligned(256)));
extern struct hart harts[8];
register struct hart *self asm("tp");

struct frame {
  u64 epc;
  u64 x[32];  /* x[n - 1] is xn */
};

void put(const char *text);
void hex(u64 value);
void show(const char *name, u64 value);
void expect(const char *name, u64 value, u64 wanted);
/* Prints the trap since `self->trap.count = 0`, or that there was none. */
void show_trap(const char *name);
void expect_trap(const char *name, u64 cause, u64 tval);
void expect_no_trap(const char *name);
__attribute__((noreturn)) void finish(void);

/*
 * Runs `function` in a mode. A trap to M-mode or S-mode is recorded and the instruction skipped;
 * one at a fetch returns to the caller.
 */
u64 enter(u64 mode, void *function, u64 argument);
/* The same, recording no earlier trap. */
u64 attempt(u64 mode, void *function, u64 argument);

/* A one-instruction function made at run time; valid until the next call. */
void *instruction(u32 word);
void *instructions(const u32 *words, int count);

int main(void);
void secondary(u64 hart);

#define read_csr(csr) ({ u64 v_; asm volatile("csrr %0, " #csr : "=r"(v_) :: "memory"); v_; })
#define write_csr(csr, value) asm volatile("csrw " #csr ", %0" :: "r"((u64)(value)) : "memory")
#define set_csr(csr, bits) asm volatile("csrs " #csr ", %0" :: "r"((u64)(bits)) : "memory")
#define clear_csr(csr, bits) asm volatile("csrc " #csr ", %0" :: "r"((u64)(bits)) : "memory")

#define MSTATUS_SIE (1ull << 1)
#define MSTATUS_MIE (1ull << 3)
#define MSTATUS_SPIE (1ull << 5)
#define MSTATUS_MPIE (1ull << 7)
#define MSTATUS_SPP (1ull << 8)
#define MSTATUS_MPP (3ull << 11)
#define MSTATUS_FS (3ull << 13)
#define MSTATUS_MPRV (1ull << 17)
#define MSTATUS_SUM (1ull << 18)
#define MSTATUS_MXR (1ull << 19)
#define MSTATUS_TVM (1ull << 20)
#define MSTATUS_TW (1ull << 21)
#define MSTATUS_TSR (1ull << 22)

#define CLINT 0x2000000ull
#define MSIP(hart) (*(volatile u32 *)(CLINT + 4 * (hart)))
#define MTIMECMP(hart) (*(volatile u64 *)(CLINT + 0x4000 + 8 * (hart)))
#define MTIME (*(volatile u64 *)(CLINT + 0xbff8))
#define UART ((volatile u8 *)0x10000000)
#define PLIC 0xc000000ull
#define NOWHERE 0x8000000ull  /* nothing is mapped there */
