/**
 * The built-in firmware: the Supervisor Binary Interface 2.0 for a kernel that is booted directly.
 *
 * A call is one instruction. Extensions: BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN; what Linux on
 * this board needs and no more. Everything else is not supported, and says so.
 */
import { cause, hart } from '../isa/hart-state.ts';
import type { Harts } from './harts.ts';
import { supervisorSoftware } from './harts.ts';

/** Error codes (SBI 2.0, section 3.1). */
const SBI_SUCCESS = 0n;
const SBI_ERR_FAILED = -1n;
const SBI_ERR_NOT_SUPPORTED = -2n;
const SBI_ERR_INVALID_PARAM = -3n;
const SBI_ERR_INVALID_ADDRESS = -5n;
const SBI_ERR_ALREADY_AVAILABLE = -6n;

/** States of a hart (SBI 2.0, chapter 9). */
export const hsm = { started: 0, stopped: 1, suspended: 4 } as const;

const a0 = 10;
const a1 = 11;
const a2 = 12;
const a6 = 16;
const a7 = 17;

export interface FirmwareContext {
  readonly harts: Harts;
  /** Reads guest RAM; undefined outside of it. */
  readRam(address: bigint, length: number): Uint8Array | undefined;
  consoleOutput(bytes: Uint8Array): void;
  power(action: 'off' | 'reset' | 'failed'): void;
}

interface Result {
  readonly error: bigint;
  readonly value?: bigint;
}

type Call = (context: FirmwareContext, caller: number, arg: readonly bigint[]) => Result;

const ok = (value = 0n): Result => ({ error: SBI_SUCCESS, value });
const failed = (error: bigint): Result => ({ error });

/** Harts named by a mask and the hart of its bit 0; a base of all ones names all. */
function hartsIn(harts: Harts, mask: bigint, base: bigint): number[] | undefined {
  const all = Array.from({ length: harts.hartCount }, (_, index) => index);
  if (base === (1n << 64n) - 1n) return all;
  const named: number[] = [];
  for (let bit = 0n; bit < 64n; bit++) {
    if (((mask >> bit) & 1n) === 0n) continue;
    const index = base + bit;
    if (index >= BigInt(harts.hartCount)) return undefined;
    named.push(Number(index));
  }
  return named;
}

const fence: Call = ({ harts }, _, [mask, base]) =>
  hartsIn(harts, mask!, base!) ? ok() : failed(SBI_ERR_INVALID_PARAM);

const extensions: ReadonlyMap<bigint, readonly (Call | undefined)[]> = new Map<
  bigint,
  readonly (Call | undefined)[]
>([
  // BASE: specification 2.0, implementation id and version, probe, the machine's three ids.
  [
    0x10n,
    [
      () => ok(2n << 24n),
      () => ok(0x756d62n),
      () => ok(1n),
      (_, _caller, [extension]) => ok(extensions.has(extension!) ? 1n : 0n),
      () => ok(0n),
      () => ok(0n),
      () => ok(0n),
    ],
  ],
  // TIME
  [
    0x54494d45n,
    [
      ({ harts }, caller, [time]) => {
        harts.set(caller, hart.stimecmp, time!);
        return ok();
      },
    ],
  ],
  // IPI
  [
    0x735049n,
    [
      ({ harts }, _, [mask, base]) => {
        const named = hartsIn(harts, mask!, base!);
        if (!named) return failed(SBI_ERR_INVALID_PARAM);
        for (const index of named) {
          const pending = harts.get(index, hart.mipSoftware);
          harts.set(index, hart.mipSoftware, pending | supervisorSoftware);
        }
        return ok();
      },
    ],
  ],
  // RFENCE: no lookaside buffer is visible, so there is nothing to fence. (Those of a hypervisor's
  // guests, from 3 on, are not supported.)
  [0x52464e43n, [fence, fence, fence]],
  // HSM: start, stop, status, suspend.
  [
    0x48534dn,
    [
      ({ harts, readRam }, _, [index, address, opaque]) => {
        const target = Number(index);
        if (index! >= BigInt(harts.hartCount)) return failed(SBI_ERR_INVALID_PARAM);
        if (harts.getWord(target, hart.hsmState) !== hsm.stopped) {
          return failed(SBI_ERR_ALREADY_AVAILABLE);
        }
        if (!readRam(address!, 2)) return failed(SBI_ERR_INVALID_ADDRESS);
        startSupervisor(harts, target, address!, opaque!);
        return ok();
      },
      ({ harts }, caller) => {
        harts.setWord(caller, hart.hsmState, hsm.stopped);
        return failed(SBI_ERR_FAILED);
      },
      ({ harts }, _, [index]) =>
        index! >= BigInt(harts.hartCount)
          ? failed(SBI_ERR_INVALID_PARAM)
          : ok(BigInt(harts.getWord(Number(index), hart.hsmState))),
      ({ harts }, caller, [type]) => {
        // Only the retentive default: the hart waits as with WFI.
        if (type !== 0n) return failed(SBI_ERR_NOT_SUPPORTED);
        harts.setWord(caller, hart.waiting, 1);
        return ok();
      },
    ],
  ],
  // SRST: shutdown, cold and warm reboot; a shutdown for another reason than "none" is a failure.
  [
    0x53525354n,
    [
      ({ power }, _, [type, reason]) => {
        if (type! > 2n || reason! > 1n) return failed(SBI_ERR_INVALID_PARAM);
        power(type !== 0n ? 'reset' : reason === 0n ? 'off' : 'failed');
        return ok();
      },
    ],
  ],
  // DBCN: write, read (nothing is ever waiting), write one byte.
  [
    0x4442434en,
    [
      ({ readRam, consoleOutput }, _, [length, low, high]) => {
        const bytes = high === 0n && length! < 1n << 20n && readRam(low!, Number(length));
        if (!bytes) return failed(SBI_ERR_INVALID_PARAM);
        if (bytes.length > 0) consoleOutput(bytes.slice());
        return ok(length);
      },
      () => ok(0n),
      ({ consoleOutput }, _, [byte]) => {
        consoleOutput(Uint8Array.of(Number(byte! & 0xffn)));
        return ok();
      },
    ],
  ],
]);

/** Answers the ECALL that the running hart has just retired. */
export function firmwareCall(context: FirmwareContext): void {
  const { harts } = context;
  const caller = harts.running;
  const functions = extensions.get(harts.x(caller, a7));
  const number = harts.x(caller, a6);
  const call = functions?.[number < 64n ? Number(number) : -1];
  const args = [a0, a1, a2].map((register) => harts.x(caller, register));
  const result = call ? call(context, caller, args) : failed(SBI_ERR_NOT_SUPPORTED);
  harts.setX(caller, a0, BigInt.asUintN(64, result.error));
  harts.setX(caller, a1, result.value ?? 0n);
}

/** A hart in supervisor mode with everything delegated, as firmware leaves it. */
export function startSupervisor(harts: Harts, index: number, pc: bigint, opaque: bigint): void {
  const lines = harts.get(index, hart.mipLines);
  harts.reset(index);
  harts.set(index, hart.mipLines, lines);
  harts.set(index, hart.pc, pc);
  harts.setX(index, a0, BigInt(index));
  harts.setX(index, a1, opaque);
  harts.setWord(index, hart.privilege, 1);
  // All but calls of the supervisor itself, which this firmware answers.
  harts.set(index, hart.medeleg, 0xb3ffn & ~(1n << BigInt(cause.supervisorCall)));
  harts.set(index, hart.mideleg, 0x222n);
  harts.set(index, hart.menvcfg, 1n << 63n);
  harts.setWord(index, hart.mcounteren, 0xffff_ffff);
  harts.setWord(index, hart.scounteren, 7);
  harts.setWord(index, hart.hsmState, hsm.started);
}
