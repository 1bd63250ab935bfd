/**
 * What instructions need beyond registers and memory. `isa/` only declares these routines;
 * `machine/semantics/` defines them, and the host of an engine supplies `floatOperation`.
 */
import { declare } from './semantics.ts';

/** (csr, operand, mode: 0 write, 1 set, 2 clear, 3 read only) -> the old value. */
export const csrAccess = declare('csrAccess', {
  takes: ['i32', 'i64', 'i32'],
  gives: 'i64',
  mayTrap: true,
});
/** ECALL: a trap, or a call of the built-in firmware. */
export const environmentCall = declare('environmentCall', { mayTrap: true });
/** -> the pc to go on at. */
export const machineReturn = declare('machineReturn', { gives: 'i64', mayTrap: true });
export const supervisorReturn = declare('supervisorReturn', { gives: 'i64', mayTrap: true });
export const waitForInterrupt = declare('waitForInterrupt', { mayTrap: true });
/** PAUSE: the next hart's turn. */
export const yieldHart = declare('yieldHart');
/** SFENCE.VMA: only the check of the privilege, since no TLB is visible. */
export const fenceTranslation = declare('fenceTranslation', { mayTrap: true });
/** (operation, a, b, c, rounding) -> result; sets flags. See isa/float-operations.ts. */
export const floatOperation = declare('floatOperation', {
  takes: ['i32', 'i64', 'i64', 'i64', 'i32'],
  gives: 'i64',
});
