/**
 * `npm pack`: JavaScript of all sources into dist/, since Node strips no types below node_modules,
 * and the web console into dist/console.
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { buildConsole } from './console.ts';

const root = resolve(import.meta.dirname, '..');

// Nothing of an earlier build may get into a package.
rmSync(resolve(root, 'dist'), { recursive: true, force: true });
const tsc = resolve(root, 'node_modules/.bin/tsc');
const { status } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (status === 0) await buildConsole(true);
process.exitCode = status ?? 1;
