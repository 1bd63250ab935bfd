/**
 * `npm test`: the check, and every *.test.ts with Node's own runner, two files at a time; those
 * that start whole clusters come later, and those that measure delays last, one at a time.
 *
 * Arguments: file paths narrow the run; `--no-check` skips the check. Ends with one line
 * `N passed, N failed`, before it the names of what was skipped. Exit 1 if anything failed.
 */
import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { buildConsole } from './console.ts';
import { installTestPackages } from './test-packages.ts';

const root = resolve(import.meta.dirname, '..');
// Hundreds of processes load the same sources, and stripping types and compiling is a quarter
// of their start: what one has made of them, the next finds here.
process.env['NODE_COMPILE_CACHE'] ??= resolve(root, '.cache', 'compile');
const args = process.argv.slice(2);
const named = args.filter((arg) => !arg.startsWith('--'));

let passed = 0;
let failed = 0;
const skipped: string[] = [];

installTestPackages();

const files =
  named.length > 0
    ? named.map((file) => resolve(file))
    : globSync(['src/**/*.test.ts', 'tests/**/*.test.ts', 'scripts/**/*.test.ts'], { cwd: root })
        .sort()
        .map((file) => resolve(root, file));

if (files.some((file) => file.includes('/console/'))) await buildConsole();

/** Runs test files, some at a time, and counts. A suite is a heading, not a test: only leaves count. */
function runFiles(chosen: readonly string[], concurrency: number): Promise<void> {
  if (chosen.length === 0) return Promise.resolve();
  const stream = run({ files: [...chosen], concurrency, timeout: 900_000 });
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite') return;
    if (event.skip) skipped.push(`${event.name}: ${event.skip === true ? 'skipped' : event.skip}`);
    else passed += 1;
  });
  stream.on('test:fail', (event) => {
    if (event.details.type !== 'suite') failed += 1;
  });
  stream.compose(new spec()).pipe(process.stdout, { end: false });
  return new Promise((resolve) => stream.on('end', () => setImmediate(resolve)));
}

/** @returns what it said, and whether all is well */
function check(): Promise<{ readonly text: string; readonly ok: boolean }> {
  const script = resolve(root, 'scripts/check.ts');
  return new Promise((done) => {
    execFile(process.execPath, [script], { cwd: root }, (error, stdout, stderr) =>
      done({ text: stdout + stderr, ok: error === null }),
    );
  });
}

const checked = args.includes('--no-check') ? undefined : check();
/** What starts processes that wait for each other, and leaves room beside it. */
const isSystem = (file: string): boolean => file.includes('/tests/system/');
/** What holds delays to floors has the machine to itself. */
const measures =
  /\/tests\/system\/(demo|failovers|ha|outcomes|pair|partition|soak|unlike-processors|uplink|console\/many|console\/whole-way)[.]test[.]ts$/;
await runFiles(
  files.filter((file) => !isSystem(file)),
  2,
);
if (checked !== undefined) {
  const { text, ok } = await checked;
  console.log(text);
  if (ok) passed += 1;
  else failed += 1;
}
await runFiles(
  files.filter((file) => isSystem(file) && !measures.test(file)),
  2,
);
await runFiles(
  files.filter((file) => measures.test(file)),
  1,
);

for (const name of skipped) console.log(`skipped: ${name}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
