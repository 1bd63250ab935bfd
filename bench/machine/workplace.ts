/**
 * A folder for what a bench makes: guests, file systems, recordings. It goes when the bench ends,
 * however it ends: an interrupt exits, and whoever has begun something ends it on `exit`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const workplace = mkdtempSync(join(tmpdir(), 'umbra-bench-'));
process.on('exit', () => rmSync(workplace, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1));
}
