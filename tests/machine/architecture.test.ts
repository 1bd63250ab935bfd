/**
 * The same inputs on another architecture: Node for ARM64, under the user-mode emulator, runs what
 * this machine's own Node runs, and every fingerprint agrees. WebAssembly is compiled by another
 * back end there, so whatever depends on the processor (floating point, NaNs, shifts) would show.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { armNodeCommand, armNodeMissing } from './arm-node.fixture.ts';
import { tinyImage, tinyMissing } from './tiny.ts';

const counts = 12_000_000;

const skip = armNodeMissing() || (await tinyMissing());

test('an ARM64 host computes the same fingerprints', { skip }, async () => {
  const { append, initrdPath, kernelPath } = await tinyImage();
  const script = join(import.meta.dirname, 'fixed-run.ts');
  const args = [script, kernelPath, initrdPath, append, String(counts)];
  const run = promisify(execFile);
  const [emulator, ...words] = armNodeCommand;
  const [here, there] = await Promise.all([
    run(process.execPath, args),
    run(emulator!, [...words, ...args], { timeout: 240_000 }),
  ]);
  const lines = here.stdout.split('\n');
  assert.ok(lines.length > 250, `${lines.length} fingerprints`);
  assert.deepEqual(there.stdout.split('\n'), lines);
});
