/**
 * Bus: finds the device behind a physical address outside RAM.
 *
 * Accesses come from the harts. An access that no device takes (unmapped, misaligned, of a width
 * that the device refuses) is `undefined` or `false`, and the hart raises an access fault. Eight
 * bytes are two accesses of four, the low half first.
 */
import { assert } from '../base/assert.ts';
import type { AccessSize, Device } from '../machine/device.ts';
import type { MapRow } from './virt-map.ts';

export interface BusEntry extends MapRow {
  readonly device: Device;
}

export class Bus {
  readonly #entries: readonly BusEntry[];
  /** The device addressed last, where the next access most often goes; never visible. */
  #recent: BusEntry | undefined;

  constructor(entries: readonly BusEntry[]) {
    this.#entries = entries.toSorted((a, b) => a.base - b.base);
    for (const [index, entry] of this.#entries.entries()) {
      const next = this.#entries[index + 1];
      assert(next === undefined || entry.base + entry.size <= next.base, 'devices overlap');
    }
  }

  /** @returns an unsigned integer of `size` bytes, or undefined for an access fault */
  read(address: number, size: AccessSize): number | undefined {
    const entry = this.#find(address, size);
    return entry?.device.read(address - entry.base, size);
  }

  read64(address: number): bigint | undefined {
    const entry = this.#find(address, 8);
    if (entry === undefined) return undefined;
    const low = entry.device.read(address - entry.base, 4);
    const high = entry.device.read(address - entry.base + 4, 4);
    return BigInt(low) | (BigInt(high) << 32n);
  }

  /** @returns false for an access fault */
  write(address: number, size: AccessSize, value: number): boolean {
    const entry = this.#find(address, size);
    entry?.device.write(address - entry.base, size, value);
    return entry !== undefined;
  }

  write64(address: number, value: bigint): boolean {
    const entry = this.#find(address, 8);
    if (entry === undefined) return false;
    entry.device.write(address - entry.base, 4, Number(BigInt.asUintN(32, value)));
    entry.device.write(address - entry.base + 4, 4, Number(BigInt.asUintN(32, value >> 32n)));
    return true;
  }

  #find(address: number, size: AccessSize | 8): BusEntry | undefined {
    if (address % size !== 0) return undefined;
    let entry = this.#recent;
    if (entry === undefined || address < entry.base || address >= entry.base + entry.size) {
      entry = this.#entries.find(({ base, size }) => address >= base && address < base + size);
      if (entry === undefined) return undefined;
      this.#recent = entry;
    }
    return size >= entry.accessMin && size <= entry.accessMax ? entry : undefined;
  }
}
