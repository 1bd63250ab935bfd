/**
 * What the kernel tells of a process: CPU time and memory (proc(5)).
 *
 * Guest RAM lies in linear memory, one anonymous mapping which the kernel fills as it is touched;
 * which of its pages are there is what `/proc/PID/pagemap` says.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { layoutFor, pageBytes } from '../../src/machine/layout.ts';

/** Seconds on a CPU so far, of all threads; V8's compilers and collectors are among them. */
export function cpuSeconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of threadsOf(pid)) {
    try {
      nanoseconds += Number(
        readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0],
      );
    } catch (error) {
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code!)) throw error;
    }
  }
  return nanoseconds / 1e9;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (cause) {
    const why = 'a copy that gets no CPU for half a second counts as lost';
    throw new Error(`the process ${pid} is gone: is this machine too busy? ${why}`, { cause });
  }
}

export interface Memory {
  readonly residentBytes: number;
  /** Pages that several processes share count in parts. */
  readonly proportionalBytes: number;
  /** Pages of guest RAM that exist. */
  readonly touchedBytes: number;
}

/** @param ramBytes of the guest that this VM process has */
export function memoryOf(pid: number, ramBytes: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)![1]) * 1024;
  return {
    residentBytes: kilobytes('Rss'),
    proportionalBytes: kilobytes('Pss'),
    touchedBytes: touchedBytes(pid, ramBytes),
  };
}

function touchedBytes(pid: number, ramBytes: number): number {
  const { ramAt, ramPages, totalBytes } = layoutFor(ramBytes);
  const start = linearMemory(readFileSync(`/proc/${pid}/maps`, 'utf8'), totalBytes);
  if (start === undefined) throw new Error(`process ${pid} has no guest of ${ramBytes} bytes`);
  const map = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    const entries = Buffer.alloc(ramPages * 8);
    readSync(map, entries, 0, entries.length, ((start + ramAt) / pageBytes) * 8);
    return countPresent(entries) * pageBytes;
  } finally {
    closeSync(map);
  }
}

/**
 * Where linear memory begins: the writable anonymous mapping of just its size, which V8 keeps at
 * the beginning of a larger reservation.
 */
export function linearMemory(maps: string, totalBytes: number): number | undefined {
  for (const line of maps.split('\n')) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0\s*(\S*)/.exec(line);
    if (found === null) continue;
    const [start, end] = [Number.parseInt(found[1]!, 16), Number.parseInt(found[2]!, 16)];
    if (end - start === totalBytes) return start;
  }
  return undefined;
}

/** @param entries of pagemap, 8 bytes a page; bit 63: it is in memory, bit 62: swapped out */
export function countPresent(entries: Buffer): number {
  let present = 0;
  for (let at = 7; at < entries.length; at += 8) if (entries[at]! >= 0x40) present++;
  return present;
}
