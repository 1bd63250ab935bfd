/**
 * A shadow that is being built gives way: starting a process, restoring a machine and hashing disks
 * take seconds of a core, which live copies on the same host must not miss. From when it replays it
 * has its full turn, since a primary waits for its shadow.
 *
 * Linux gives niceness by thread, and only a process with CAP_SYS_NICE may take it back; without it
 * nobody gives way. What is given and taken back is counted from the daemon's own niceness, which is
 * its operator's.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

const givenWay = 5;
const nicenessMax = 19;
/** capabilities(7) */
const sysNice = 23n;

function mayTakeBack(): boolean {
  try {
    const [, effective] = readFileSync('/proc/self/status', 'utf8').match(/^CapEff:\s+(\w+)/m)!;
    return ((BigInt(`0x${effective}`) >> sysNice) & 1n) === 1n;
  } catch {
    return false;
  }
}

/** Of a process that has just been made: threads that it makes later are like its first. */
export function giveWay(pid: number | undefined): void {
  if (pid === undefined || !mayTakeBack()) return;
  try {
    setPriority(pid, Math.min(getPriority() + givenWay, nicenessMax));
  } catch {
    // It is gone already, or this system knows no priorities: then it has none.
  }
}

/** This process, with all its threads. */
export function takeTurn(): void {
  if (!mayTakeBack()) return;
  try {
    const niceness = getPriority(process.ppid);
    for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), niceness);
  } catch {
    // A thread that has ended meanwhile; the next call finds the rest.
  }
}
