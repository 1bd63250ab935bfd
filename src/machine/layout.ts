/**
 * Linear memory, on one page: where the running hart, the parked harts, the lookaside buffers, the
 * page tables of bookkeeping, the decoded code and the guest's RAM live.
 *
 * Only the hart states, the clock and RAM are state of the machine. Everything else is derived and
 * may be dropped at any time without a guest being able to tell.
 */
import { hartStateBytes } from '../isa/hart-state.ts';
import type { AccessName } from '../isa/operators.ts';
import type { Field } from '../isa/semantics.ts';

export const pageBytes = 4096;
export const pageShift = 12;
/** Where RAM begins in the guest's physical address space, as on QEMU's `virt`. */
export const ramBase = 0x8000_0000;
export const hartsMax = 8;

const controlAt = 0x800;
let next = controlAt;
function control(access: AccessName, bytes: number): Field {
  const at = Math.ceil(next / bytes) * bytes;
  next = at + bytes;
  return { access, at };
}

/** What the machine and an engine tell each other. */
export const run = {
  /** The count at which the present run ends if nothing stops it earlier. */
  end: control('u64', 8),
  /** Instructions and traps still allowed; spilled before anything that needs the count. */
  budgetLeft: control('word', 4),
  /** Budget set aside so that the engine looks up behind the present instruction. */
  budgetHeld: control('word', 4),
  /** Not 0: leave the engine at the next opportunity; the reason in bits. */
  stopRequest: control('word', 4),
  /** 1 while a trap is pending inside an instruction. */
  fault: control('word', 4),
  faultCause: control('u64', 8),
  faultValue: control('u64', 8),
  /** The banks of the lookaside buffers that fit the present privilege. */
  dataBank: control('word', 4),
  fetchBank: control('word', 4),
  /** The bytes of the access that is being translated, for PMP. */
  accessBytes: control('word', 4),
  /** Whether PMP treats the whole page of the last translation alike. */
  pageUniform: control('word', 4),
  /** The present clock sample; see ClockInput. */
  clockCount: control('u64', 8),
  clockTime: control('u64', 8),
  clockRate: control('u64', 8),
  clockSpan: control('u64', 8),
  /** Which hart is running. */
  hartId: control('word', 4),
  /** 1: ECALL from S-mode is answered by the built-in firmware. */
  builtinFirmware: control('word', 4),
  /** Not 0 behind a slow access of a translated region: it must be left behind the instruction. */
  leave: control('word', 4),
  /** Not 0 when a translated region has returned: why; see engine/regions/frame.ts. */
  exit: control('word', 4),
  /** How many entries of the lookaside buffers are in use; see `usedWrites` and `usedReads`. */
  usedWrites: control('word', 4),
  usedReads: control('word', 4),
  /** The last number given to a page's code; see `codePage`. */
  codeVersion: control('word', 4),
  /** For a debugger: how many breakpoints there are. */
  breakpoints: control('word', 4),
  /** For a debugger: bit n is set if data in a virtual page that is n modulo 64 are watched. */
  watchedPages: control('u64', 8),
  /** The first byte that is watched, and the one behind the last. */
  watchedFrom: control('u64', 8),
  watchedTo: control('u64', 8),
} as const;

/** Bits of `run.stopRequest`. */
export const stopReason = {
  /** Deadlines may have moved, or the machine's power is concerned. */
  event: 1,
  /** The hart waits for an interrupt. */
  wait: 2,
  /** The hart gives up its turn. */
  yield: 4,
  /** ECALL from S-mode to the built-in firmware. */
  firmware: 8,
  /** A debugger's trap; nothing that a guest could notice has happened. */
  trap: 16,
  /** A frame has left, for which the caller of this run waits. */
  frame: 32,
} as const;

/** Bits of the per-page flags: who must hear of a store into the page. */
export const pageFlag = {
  /** Instructions of it are decoded. */
  code: 1,
  /** The walker has read translations from it. */
  table: 2,
  /** Its hash is up to date. */
  hashed: 4,
  /** A checkpoint has not copied it yet. */
  checkpoint: 8,
  /** Nobody: it has been stored into since RAM was last cleared. Other pages are zero. */
  touched: 64,
  /** Nobody, but the write lookaside buffer may hold it. */
  writable: 128,
} as const;

export const parkedHartsAt = 0x1000;
export const parkedHartStride = 0x800;
if (hartStateBytes > parkedHartStride || hartStateBytes > controlAt) {
  throw new Error('a hart has outgrown its place');
}

/** One byte per CSR number: index into the table of CSRs plus one, or 0. */
export const csrIndexAt = 0x6000;

/** Instructions across a page edge are decoded here, keyed by their word. */
export const straddleAt = 0x8000;
export const straddleEntries = 64;
export const straddleStride = 64;

/**
 * Lookaside buffers: direct-mapped, entries of 16 bytes: tag (virtual page), then a word. So many that
 * two pages which a guest uses again and again seldom share one (docs/decisions/tlb.md).
 */
export const tlbEntries = 2048;
export const tlbEntryBytes = 16;
/** What no address is compared with: an entry that was never filled, and one that was dropped alone. */
export const noPage = { empty: -1, dropped: -2 } as const;
const tlbBytes = tlbEntries * tlbEntryBytes;
/** Data banks: user, supervisor without SUM, supervisor with SUM, machine; each read then write. */
export const dataTlbAt = 0x1_0000;
export const dataBanks = 4;
export const dataBankBytes = 2 * tlbBytes;
export const writeTlbOffset = tlbBytes;
/** Fetch banks: user, supervisor, machine. */
export const fetchTlbAt = dataTlbAt + dataBanks * dataBankBytes;
export const fetchBanks = 3;
export const fetchBankBytes = tlbBytes;
export const tlbEnd = fetchTlbAt + fetchBanks * fetchBankBytes;

/** The addresses of entries that are not empty, so that all can be dropped at the price of these. */
export interface UsedEntries {
  readonly at: number;
  readonly count: Field;
  /** Of hart 0, where what it had in use is kept while another one has its turn. */
  readonly parkedAt: number;
  /** Of hart 0: a word, the end of what is kept there, or 0. */
  readonly parkedEndAt: number;
}
const writeEntries = dataBanks * tlbEntries;
const readEntries = (dataBanks + fetchBanks) * tlbEntries;
const usedWritesAt = tlbEnd;
const usedReadsAt = usedWritesAt + writeEntries * 4;
/** What is kept for a hart: of each list so many entries, each 16 bytes: tag, word, address. */
export const parkedTlb = { entries: 512, entryBytes: 16, hartBytes: 2 * 512 * 16, endBytes: 8 };
const parkedTlbAt = usedReadsAt + readEntries * 4;
export const parkedEndsAt = parkedTlbAt + hartsMax * parkedTlb.hartBytes;
const parkedEnd = parkedEndsAt + hartsMax * parkedTlb.endBytes;

/** Of write buffers. */
export const usedWrites: UsedEntries = {
  at: usedWritesAt,
  count: run.usedWrites,
  parkedAt: parkedTlbAt,
  parkedEndAt: parkedEndsAt,
};
/** Of those for reading and fetching. */
export const usedReads: UsedEntries = {
  at: usedReadsAt,
  count: run.usedReads,
  parkedAt: parkedTlbAt + parkedTlb.entries * parkedTlb.entryBytes,
  parkedEndAt: parkedEndsAt + 4,
};

/** Decoded code: a record of 16 bytes for each halfword of a page, and one behind the page. */
export const recordBytes = 16;
export const recordShift = 3;
const recordsBytes = (pageBytes / 2) * recordBytes;
/** What else there is of a page of code, behind its records. */
export const codePage = {
  /** A word per halfword: how often a jump has landed there, or the translated region that begins
   * there; see `entryWord`. */
  entriesAt: recordsBytes + 64,
  entriesBytes: (pageBytes / 2) * 4,
  /** A word that names this content of this page: no two contents ever have the same. */
  versionAt: recordsBytes + 64 + (pageBytes / 2) * 4,
} as const;
export const codePageBytes = codePage.versionAt + 64;

/** A region's word: this bit, its place in the table of functions, and which of its entries. */
export const entryWord = { translated: 0x8000_0000, entryBits: 8 } as const;

/** Where indirect jumps of interpreted code have gone: the jump's record, then distances. */
export const jumpTargets = { buckets: 2048, targets: 15, bytes: 64 } as const;

export interface Layout {
  readonly ramBytes: number;
  readonly ramPages: number;
  readonly pageFlagsAt: number;
  /** Per page of RAM: the address of its decoded records, or 0. */
  readonly codeIndexAt: number;
  /** Per page of RAM: 64 bits of hash. */
  readonly pageHashesAt: number;
  readonly jumpTargetsAt: number;
  readonly codePagesAt: number;
  readonly codePages: number;
  readonly ramAt: number;
  readonly totalBytes: number;
}

const align = (value: number, to: number): number => Math.ceil(value / to) * to;

export function layoutFor(ramBytes: number): Layout {
  const ramPages = ramBytes / pageBytes;
  const pageFlagsAt = align(parkedEnd, pageBytes);
  const codeIndexAt = align(pageFlagsAt + ramPages, pageBytes);
  const pageHashesAt = align(codeIndexAt + ramPages * 4, pageBytes);
  const jumpTargetsAt = align(pageHashesAt + ramPages * 8, pageBytes);
  const codePagesAt = align(jumpTargetsAt + jumpTargets.buckets * jumpTargets.bytes, pageBytes);
  const codePages = Math.min(2048, ramPages);
  const ramAt = align(codePagesAt + codePages * codePageBytes, 65536);
  return {
    ramBytes,
    ramPages,
    pageFlagsAt,
    codeIndexAt,
    pageHashesAt,
    jumpTargetsAt,
    codePagesAt,
    codePages,
    ramAt,
    totalBytes: align(ramAt + ramBytes, 65536),
  };
}
