/** `npm pack`: JavaScript of all sources into dist/, since Node strips no types below node_modules. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

// Nothing of an earlier build may get into a package.
rmSync(resolve(root, 'dist'), { recursive: true, force: true });
const tsc = resolve(root, 'node_modules/.bin/tsc');
const { status } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
process.exitCode = status ?? 1;
