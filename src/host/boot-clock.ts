/**
 * CLOCK_BOOTTIME: like the monotonic clock, and it also counts while the machine is suspended. Node
 * has no call for it; `/proc/uptime` gives it to 10 ms (truncated), at some microseconds a read.
 */
import { openSync, readSync } from 'node:fs';
import type { Clock } from '../lockstep/ports.ts';

const path = '/proc/uptime';

/** @returns undefined where there is no such clock */
export function openBootClock(): Clock | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    return undefined;
  }
  const buffer = Buffer.alloc(64);
  const now = (): number => {
    const length = readSync(descriptor, buffer, 0, buffer.length, 0);
    return Math.round(Number.parseFloat(buffer.toString('latin1', 0, length)) * 1e6);
  };
  return Number.isFinite(now()) ? { now } : undefined;
}
