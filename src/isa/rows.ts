/** All instructions. Their order is no meaning; overlapping patterns go to the more specific row. */
import type { Row } from './row.ts';
import { atomicRows } from './rows/atomic.ts';
import { baseRows } from './rows/base.ts';
import { bitmanipRows } from './rows/bitmanip.ts';
import { floatRows } from './rows/float.ts';
import { systemRows } from './rows/system.ts';

export const rows: readonly Row[] = [
  ...baseRows,
  ...bitmanipRows,
  ...atomicRows,
  ...floatRows,
  ...systemRows,
];

const byName = new Map(rows.map((row, index) => [row.name, index]));

export function rowIndex(name: string): number {
  const index = byName.get(name);
  if (index === undefined) throw new Error(`no instruction ${name}`);
  return index;
}
