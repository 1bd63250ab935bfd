/*
 * Start and traps of the guests. Every hart begins here in M-mode; hart 0 runs main, the others
 * wait for their software interrupt and then run secondary.
 *
 * tp holds the hart's `struct hart` in every mode. mscratch and sscratch hold the top of the
 * hart's trap stack of that mode, except inside the handler.
 */
#define STACK 8192
#define HART_BYTES 256
#define MACHINE_SP 0          /* offset in struct hart */
#define FRAME 256

    .section .text.start
    .globl _start
_start:
    csrr a0, mhartid
    la tp, harts
    li t0, HART_BYTES
    mul t0, t0, a0
    add tp, tp, t0
    la sp, stacks
    li t0, STACK * 4
    addi t1, a0, 1
    mul t0, t0, t1
    add sp, sp, t0            /* four stacks per hart: M traps, S traps, other modes, own */
    li t0, STACK
    sub t1, sp, t0
    sd t1, 8(tp)              /* struct hart: other_sp */
    sub t1, t1, t0
    csrw sscratch, t1
    sub t1, t1, t0
    csrw mscratch, t1
    la t0, machine_entry
    csrw mtvec, t0
    la t0, supervisor_entry
    csrw stvec, t0
    li t0, 0x6000             /* FS dirty */
    csrs mstatus, t0
    li t0, -1                 /* PMP 15: all of memory to everybody */
    csrw pmpaddr15, t0
    li t0, 0x1f
    slli t0, t0, 56
    csrw pmpcfg2, t0
    csrw satp, zero
    li t0, 1
    slli t0, t0, 61           /* menvcfg.ADUE, where there is one: A and D by hardware */
    csrs 0x30a, t0
    bnez a0, 1f
    call main
    j finish
1:  li t0, 8                  /* MSIE: wakes wfi; mstatus.MIE stays off */
    csrw mie, t0
2:  wfi
    csrr t0, mip
    andi t0, t0, 8
    beqz t0, 2b
    call secondary
3:  wfi
    j 3b

/* u64 enter(mode, function, argument): runs the function in a less privileged mode. */
    .text
    .globl enter
enter:
    addi sp, sp, -112
    sd ra, 0(sp)
    sd s0, 8(sp)
    sd s1, 16(sp)
    sd s2, 24(sp)
    sd s3, 32(sp)
    sd s4, 40(sp)
    sd s5, 48(sp)
    sd s6, 56(sp)
    sd s7, 64(sp)
    sd s8, 72(sp)
    sd s9, 80(sp)
    sd s10, 88(sp)
    sd s11, 96(sp)
    sd sp, MACHINE_SP(tp)
    li t0, 0x1880             /* MPP and MPIE: MIE stays off, there and after the return */
    csrc mstatus, t0
    slli a0, a0, 11
    csrs mstatus, a0
    csrw mepc, a1
    ld sp, 8(tp)
    mv a0, a2
    la ra, leave
    mret

/* Where a function run by enter returns to. */
    .globl leave
leave:
    li a7, 0x1ea7e
    ecall
    .globl left               /* in M-mode again, by the trap handler: a0 is the result */
left:
    ld sp, MACHINE_SP(tp)
    ld ra, 0(sp)
    ld s0, 8(sp)
    ld s1, 16(sp)
    ld s2, 24(sp)
    ld s3, 32(sp)
    ld s4, 40(sp)
    ld s5, 48(sp)
    ld s6, 56(sp)
    ld s7, 64(sp)
    ld s8, 72(sp)
    ld s9, 80(sp)
    ld s10, 88(sp)
    ld s11, 96(sp)
    addi sp, sp, 112
    ret

/* A trap handler: all registers into a frame, a C function, all registers back. */
.macro handler name, scratch, epc, function, return
    .balign 4
    .globl \name
\name:
    csrrw sp, \scratch, sp
    addi sp, sp, -FRAME
    .irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd x\n, \n * 8(sp)
    .endr
    csrr t0, \scratch
    sd t0, 2 * 8(sp)
    csrr t0, \epc
    sd t0, 0(sp)
    mv a0, sp
    addi t0, sp, FRAME        /* a trap inside this handler gets the stack below this frame */
    csrw \scratch, sp
    mv s0, t0
    call \function
    csrw \scratch, s0
    ld t0, 0(sp)
    csrw \epc, t0
    .irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld x\n, \n * 8(sp)
    .endr
    ld sp, 2 * 8(sp)
    \return
.endm

    handler machine_entry, mscratch, mepc, machine_trap, mret
    handler supervisor_entry, sscratch, sepc, supervisor_trap, sret

    .bss
    .balign 4096
stacks:
    .skip STACK * 4 * 8
