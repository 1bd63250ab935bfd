/**
 * The memory map and interrupt numbers of QEMU's `virt` machine, on one page. The bus and the device
 * tree are both made from it.
 *
 * `accessMin` and `accessMax` are the widths in bytes that a device takes; any other access faults,
 * as it does there. (Of QEMU's map, PCI, flash, fw_cfg and the platform bus are absent here.)
 */
export interface MapRow {
  readonly base: number;
  readonly size: number;
  readonly accessMin: 1 | 2 | 4;
  readonly accessMax: 4 | 8;
  /** The interrupt source at the PLIC; 0 for none. */
  readonly interrupt: number;
}

export const virtMap = {
  syscon: { base: 0x0010_0000, size: 0x1000, accessMin: 2, accessMax: 4, interrupt: 0 },
  rtc: { base: 0x0010_1000, size: 0x1000, accessMin: 4, accessMax: 4, interrupt: 11 },
  clint: { base: 0x0200_0000, size: 0x1_0000, accessMin: 4, accessMax: 8, interrupt: 0 },
  plic: { base: 0x0c00_0000, size: 0x60_0000, accessMin: 4, accessMax: 4, interrupt: 0 },
  uart: { base: 0x1000_0000, size: 0x100, accessMin: 1, accessMax: 8, interrupt: 10 },
} as const satisfies Record<string, MapRow>;

export const virtioSlots = 8;

/** Slots are numbered from 0; Linux finds devices in the order of the device tree. */
export function virtioSlot(slot: number): MapRow {
  return {
    base: 0x1000_1000 + slot * 0x1000,
    size: 0x1000,
    accessMin: 1,
    accessMax: 8,
    interrupt: 1 + slot,
  };
}

export const dramBase = 0x8000_0000;
/** Hertz of the guest's clock, for `timebase-frequency`. */
export const timebaseFrequency = 10_000_000;
/** Hertz of the UART's input clock; the divisor means nothing here. */
export const uartClockFrequency = 3_686_400;
