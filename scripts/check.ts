/** Everything that needs no running: the rules of the house, types, style. Exit 1 on any finding. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { violations } from './house.ts';

const root = resolve(import.meta.dirname, '..');
const bin = (name: string): string => resolve(root, 'node_modules/.bin', name);

let failed = false;
function step(title: string, run: () => boolean): void {
  const ok = run();
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${title}`);
  failed ||= !ok;
}

function command(name: string, ...args: string[]): boolean {
  return spawnSync(bin(name), args, { cwd: root, stdio: 'inherit' }).status === 0;
}

step('imports and purity', () => {
  const found = violations(root);
  for (const line of found) console.error(line);
  return found.length === 0;
});
step('types', () => command('tsc', '-p', 'tsconfig.json'));
step('types of the pure folders', () => command('tsc', '-p', 'tsconfig.pure.json'));
step('types of the console', () => command('tsc', '-p', 'src/console/tsconfig.json'));
step('style', () => command('biome', 'check', '--error-on-warnings', '.'));
process.exitCode = failed ? 1 : 0;
