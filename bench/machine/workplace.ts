/** A folder for what a bench makes: guests, file systems, recordings. It goes when the bench ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const workplace = mkdtempSync(join(tmpdir(), 'umbra-bench-'));
process.on('exit', () => rmSync(workplace, { recursive: true, force: true }));
