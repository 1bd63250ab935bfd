/** The `umbra` command as tests call it: a real process, with images shared by all tests. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildImage } from '../../src/images/build.ts';
import { listImages } from '../../src/images/image.ts';
import { loadRecipe } from '../../src/images/recipe.ts';

const root = resolve(import.meta.dirname, '../..');
export const imagesHome = resolve(root, '.cache/images-home');
const program = resolve(root, 'src/cli/main.ts');

/** Builds the images that are not there yet. @returns why it cannot, or undefined */
export async function imagesMissing(...names: string[]): Promise<string | undefined> {
  const there = (await listImages(imagesHome)).map(({ name }) => name);
  for (const name of names) {
    if (there.includes(name)) continue;
    try {
      await buildImage(loadRecipe(name), { home: imagesHome });
    } catch (error) {
      return `the image ${name} cannot be built here: ${(error as Error).message}`;
    }
  }
  return undefined;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function start(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [program, ...args], {
    env: { ...process.env, UMBRA_HOME: imagesHome },
    stdio: 'pipe',
  });
}

/** Nothing that a test starts runs longer. */
const runMsMax = 240_000;

/** Runs to the end. @param typing each input once the output contains `after` */
export function umbra(
  args: readonly string[],
  typing: readonly { readonly after: string; readonly input: string }[] = [],
  msMax = runMsMax,
): Promise<Finished> {
  const child = start(args);
  let stdout = '';
  let stderr = '';
  let stage = 0;
  let seen = 0;
  const look = (): void => {
    const all = stdout + stderr;
    const next = typing[stage];
    if (next === undefined) return;
    const at = all.indexOf(next.after, seen);
    if (at < 0) return;
    seen = at + next.after.length;
    stage += 1;
    child.stdin.write(next.input);
    look();
  };
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    look();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    look();
  });
  if (typing.length === 0) child.stdin.end();
  const limit = setTimeout(() => child.kill('SIGKILL'), msMax);
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => {
      clearTimeout(limit);
      done({ code, stdout, stderr });
    });
  });
}

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'umbra-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
