/**
 * Syscon: SiFive's test finisher, by which a guest of QEMU's `virt` machine switches itself off.
 *
 * Data come from the guest's stores and leave as power outputs; there is no state. The device tree
 * presents it as `syscon-poweroff` and `syscon-reboot`. After the output the machine decides.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { AccessSize, Device, DeviceContext } from '../machine/device.ts';
import type { PowerOutput } from '../machine/effects.ts';

/** The low half of what is written; the high half of a failure is an exit code, not kept. */
export const finisher = { fail: 0x3333, pass: 0x5555, reset: 0x7777 } as const;

const actions: ReadonlyMap<number, PowerOutput['action']> = new Map([
  [finisher.fail, 'failed'],
  [finisher.pass, 'off'],
  [finisher.reset, 'reset'],
]);

export class Syscon implements Device {
  readonly #context: Pick<DeviceContext, 'emit'>;

  constructor(context: Pick<DeviceContext, 'emit'>) {
    this.#context = context;
  }

  read(_offset: number, _size: AccessSize): number {
    return 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (offset !== 0 || size === 1) return;
    const action = actions.get(value & 0xffff);
    if (action !== undefined) this.#context.emit({ kind: 'power', action });
  }

  reset(): void {}

  save(_writer: ByteWriter): void {}

  restore(_reader: ByteReader): void {}
}
