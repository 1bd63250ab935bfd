/*
 * Entered by the firmware in S-mode without paging, a0 = hart, a1 = device tree; all of RAM behind
 * the file's own bytes is zero, as after every power-on.
 */
    .section .text.start
    .globl _start
_start:
    la sp, stack_top
    j boot
