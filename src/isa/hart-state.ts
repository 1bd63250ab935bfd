/**
 * The state of a hart, as a table of fields in linear memory.
 *
 * The hart that is running always lives at address 0, so every tier reaches its registers by
 * constant addresses; the others are parked elsewhere and copied in when their turn comes. All of
 * this is architectural state: it is saved, restored and fingerprinted as bytes.
 */
import type { AccessName } from './operators.ts';
import type { Field } from './semantics.ts';

/** Integer registers; behind them a slot that swallows writes to x0. */
export const xAt = 0;
export const xSink = 32;
/** Floating-point registers, raw bits. */
export const fAt = 272;

let next = fAt + 32 * 8;
function field(access: AccessName, bytes: number): Field {
  const at = Math.ceil(next / bytes) * bytes;
  next = at + bytes;
  return { access, at };
}
const wide = (): Field => field('u64', 8);
const word = (): Field => field('word', 4);

export const hart = {
  pc: wide(),
  mstatus: wide(),
  medeleg: wide(),
  mideleg: wide(),
  mie: wide(),
  /** SSIP, STIP and SEIP as software has written them. */
  mipSoftware: wide(),
  /** MSIP, STIP, MTIP, SEIP and MEIP as the wires and the comparison of timers drive them. */
  mipLines: wide(),
  mtvec: wide(),
  mscratch: wide(),
  mepc: wide(),
  mcause: wide(),
  mtval: wide(),
  menvcfg: wide(),
  stvec: wide(),
  sscratch: wide(),
  sepc: wide(),
  scause: wide(),
  stval: wide(),
  senvcfg: wide(),
  satp: wide(),
  stimecmp: wide(),
  /** CLINT's comparator; part of the hart, because its timer is. */
  mtimecmp: wide(),
  /** Added to the machine's count when `mcycle` and `minstret` are read. */
  cycleOffset: wide(),
  instretOffset: wide(),
  /** The virtual address that LR has reserved, or all ones. */
  reservation: wide(),
  mcountinhibit: wide(),
  mcounteren: word(),
  scounteren: word(),
  /** 0 user, 1 supervisor, 3 machine. */
  privilege: word(),
  fflags: word(),
  frm: word(),
  /** 1 while WFI waits. */
  waiting: word(),
  /** SBI HSM: 0 started, 1 stopped, 2 start pending, 4 suspended. */
  hsmState: word(),
  pmpCount: word(),
} as const satisfies Record<string, Field>;

export const pmpEntries = 16;
/** One configuration byte per PMP entry, then one address word per entry. */
export const pmpcfgAt = Math.ceil(next / 8) * 8;
export const pmpaddrAt = pmpcfgAt + pmpEntries;
export const hartStateBytes = Math.ceil((pmpaddrAt + pmpEntries * 8) / 64) * 64;

/** Trap causes (privileged manual, table 14). */
export const cause = {
  instructionMisaligned: 0,
  instructionAccess: 1,
  illegalInstruction: 2,
  breakpoint: 3,
  loadMisaligned: 4,
  loadAccess: 5,
  storeMisaligned: 6,
  storeAccess: 7,
  userCall: 8,
  supervisorCall: 9,
  machineCall: 11,
  instructionPage: 12,
  loadPage: 13,
  storePage: 15,
} as const;

/** Bits of mstatus (privileged manual, section 3.1.6). */
export const status = {
  SIE: 1n << 1n,
  MIE: 1n << 3n,
  SPIE: 1n << 5n,
  MPIE: 1n << 7n,
  SPP: 1n << 8n,
  MPP: 3n << 11n,
  FS: 3n << 13n,
  MPRV: 1n << 17n,
  SUM: 1n << 18n,
  MXR: 1n << 19n,
  TVM: 1n << 20n,
  TW: 1n << 21n,
  TSR: 1n << 22n,
  UXL: 2n << 32n,
  SXL: 2n << 34n,
  SD: 1n << 63n,
} as const;
