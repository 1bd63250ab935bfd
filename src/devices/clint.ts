/**
 * CLINT: the core-local interruptor, in SiFive's layout (FU540-C000 manual, chapter 9).
 *
 * `msip` drives the machine software interrupts, `mtimecmp` belongs to the harts and is only
 * reached from here, `mtime` is the machine's one clock. A store to `mtime` is ignored: the clock
 * is an input, the same for all harts and for the `time` CSR, and a guest that could move it would
 * part it from the clock samples in the log. No firmware or kernel for this board writes it.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { AccessSize, Device, DeviceContext, HartLines } from '../machine/device.ts';
import { half, withHalf } from './halves.ts';

const MSIP = 0x0000;
const MTIMECMP = 0x4000;
const MTIME = 0xbff8;

export class Clint implements Device {
  readonly #lines: HartLines;
  readonly #context: Pick<DeviceContext, 'now'>;
  /** One flag per hart. */
  readonly #msip: Uint8Array;

  constructor(lines: HartLines, context: Pick<DeviceContext, 'now'>) {
    this.#lines = lines;
    this.#context = context;
    this.#msip = new Uint8Array(lines.hartCount);
  }

  read(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    if (offset < MTIMECMP) return this.#msip[(offset - MSIP) >>> 2] ?? 0;
    const high = (offset & 4) !== 0;
    const hart = (offset - MTIMECMP) >>> 3;
    if (hart < this.#msip.length) return half(this.#lines.machineTimeCompare(hart), high);
    if ((offset & ~4) === MTIME) return half(this.#context.now(), high);
    return 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    if (offset < MTIMECMP) {
      const hart = (offset - MSIP) >>> 2;
      if (hart >= this.#msip.length) return;
      this.#msip[hart] = value & 1;
      this.#lines.setMachineSoftware(hart, (value & 1) === 1);
      return;
    }
    const hart = (offset - MTIMECMP) >>> 3;
    if (hart >= this.#msip.length) return;
    const old = this.#lines.machineTimeCompare(hart);
    this.#lines.setMachineTimeCompare(hart, withHalf(old, (offset & 4) !== 0, value));
  }

  reset(): void {
    for (let hart = 0; hart < this.#msip.length; hart++) {
      this.#msip[hart] = 0;
      this.#lines.setMachineSoftware(hart, false);
    }
  }

  save(writer: ByteWriter): void {
    writer.raw(this.#msip);
  }

  restore(reader: ByteReader): void {
    this.#msip.set(reader.raw(this.#msip.length));
  }
}
