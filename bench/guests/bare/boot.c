/*
 * What surrounds a kernel: Sv39 with 4 KiB pages for code and data as an operating system would map
 * them, floating point on, and three lines on the UART: `start NAME`, `end NAME`, `result CHECKSUM`. Then
 * the test finisher switches the machine off.
 */
#include "kernel.h"

#define UART ((volatile u8 *)0x10000000)
#define UART_LINE_STATUS 5
#define UART_CAN_SEND 0x20
#define FINISHER ((volatile u32 *)0x100000)
#define FINISHER_PASS 0x5555

#define PAGE_BYTES 4096ul
#define ENTRIES 512ul
#define VALID 0x01ul
#define READ_WRITE 0x06ul
#define READ_EXECUTE 0x0aul
#define ACCESSED_DIRTY 0xc0ul
#define SATP_SV39 (8ul << 60)
#define SSTATUS_FS_INITIAL 0x2000ul

#define RAM 0x80000000ul
#define MAPPED_BYTES (16ul << 20)
#define LEAVES (MAPPED_BYTES / PAGE_BYTES)

extern u8 code_end[], image_end[];

static u64 root[ENTRIES] __attribute__((aligned(4096)));
static u64 middle[ENTRIES] __attribute__((aligned(4096)));
static u64 leaves[LEAVES] __attribute__((aligned(4096)));

static void put(const char *text) {
  for (; *text; text++) {
    while (!(UART[UART_LINE_STATUS] & UART_CAN_SEND)) {
    }
    UART[0] = *text;
  }
}

static void put_hex(u64 value) {
  char text[17] = {0};
  for (int i = 0; i < 16; i++) text[i] = "0123456789abcdef"[(value >> (60 - 4 * i)) & 15];
  put(text);
}

static u64 entry(u64 address, u64 flags) { return (address >> 12 << 10) | flags | VALID; }

/* Everything lies where it lies without paging. Devices share one page of a gigabyte. */
static void enable_paging(void) {
  root[0] = entry(0, READ_WRITE | ACCESSED_DIRTY);
  root[RAM >> 30] = entry((u64)middle, 0);
  for (u64 i = 0; i < LEAVES / ENTRIES; i++) middle[i] = entry((u64)&leaves[i * ENTRIES], 0);
  for (u64 i = 0; i < LEAVES; i++) {
    u64 address = RAM + i * PAGE_BYTES;
    u64 rights = address < (u64)code_end ? READ_EXECUTE : READ_WRITE;
    leaves[i] = entry(address, rights | ACCESSED_DIRTY);
  }
  asm volatile("csrw satp, %0; sfence.vma" ::"r"(SATP_SV39 | (u64)root >> 12) : "memory");
}

__attribute__((noreturn)) static void power_off(void) {
  *FINISHER = FINISHER_PASS;
  for (;;) {
  }
}

__attribute__((noreturn)) void boot(void) {
  if ((u64)image_end > RAM + MAPPED_BYTES) {
    put("the kernel does not fit into the pages that are mapped\n");
    power_off();
  }
  enable_paging();
  asm volatile("csrs sstatus, %0" ::"r"(SSTATUS_FS_INITIAL));
  put("start " NAME "\n");
  u64 checksum = kernel(ROUNDS);
  put("end " NAME "\nresult ");
  put_hex(checksum);
  put("\n");
  power_off();
}

/* Compilers call these for large assignments, whatever they are told. */
void *memcpy(void *to, const void *from, unsigned long bytes) {
  u8 *target = to;
  for (const u8 *source = from; bytes > 0; bytes--) *target++ = *source++;
  return to;
}

void *memset(void *to, int byte, unsigned long bytes) {
  for (u8 *target = to; bytes > 0; bytes--) *target++ = byte;
  return to;
}
