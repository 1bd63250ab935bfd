/**
 * The web console, from `src/console` to `dist/console`, where the center finds it.
 *
 * It is built when there is none or its sources have changed since: `npm run demo`, the tests and
 * `npm pack` ask for that. What counts as its sources is hashed, and the hash kept beside the result.
 */
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { InlineConfig } from 'vite';

const root = resolve(import.meta.dirname, '..');
export const consoleFolder = join(root, 'dist/console');
const builtFrom = 'built-from.txt';

/** @param outDir a folder that is emptied */
function configuration(outDir: string): InlineConfig {
  return {
    configFile: false,
    root: join(root, 'src/console'),
    logLevel: 'warn',
    // The center puts a fresh nonce in its place with every reply (center/console-files.ts).
    html: { cspNonce: 'UMBRA-CSP-NONCE' },
    oxc: { jsx: { runtime: 'automatic' } },
    build: {
      outDir,
      emptyOutDir: true,
      target: 'es2023',
      cssTarget: ['chrome123', 'firefox121', 'safari17.5'],
      // Fonts and pictures stay files: the page's policy permits no data in their place.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      chunkSizeWarningLimit: 1000,
      rolldownOptions: {
        onLog(level, log, warn) {
          // Libraries mark what runs in browsers; here everything does.
          if (log.code !== 'MODULE_LEVEL_DIRECTIVE') warn(level, log);
        },
      },
    },
  };
}

function sourceHash(): string {
  const hash = createHash('sha256');
  const files = globSync(['src/console/**/*.*', 'src/api/*.ts', 'src/base/errors.ts'], {
    cwd: root,
  });
  // A lock file is not in every copy of the sources.
  const others = ['package-lock.json', 'scripts/console.ts'];
  for (const file of [...files.sort(), ...others.filter((name) => existsSync(join(root, name)))]) {
    hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}

/** @returns whether it had to be built */
export async function buildConsole(force = false): Promise<boolean> {
  const hash = sourceHash();
  const mark = join(consoleFolder, builtFrom);
  if (!force && existsSync(mark) && readFileSync(mark, 'utf8') === hash) return false;
  // Beside it first: a center that serves the former one shall not find half of this one.
  const { build } = await import('vite');
  const fresh = `${consoleFolder}.new`;
  await build(configuration(fresh));
  const { bytes, files } = firstLoad(fresh);
  if (bytes > firstLoadBytesMax) {
    throw new Error(
      `The console's first load is ${bytes} bytes compressed, more than ${firstLoadBytesMax}: ` +
        `${files.join(', ')}. Import what not every page needs where it is needed.`,
    );
  }
  writeFileSync(join(fresh, builtFrom), hash);
  rmSync(consoleFolder, { recursive: true, force: true });
  renameSync(fresh, consoleFolder);
  return true;
}

/** What a browser has to have before anything is shown, compressed. */
export const firstLoadBytesMax = 350_000;

/**
 * The page, and the scripts and styles that it names: what comes later is loaded page by page.
 * @param folder a build
 */
export function firstLoad(folder = consoleFolder): {
  readonly bytes: number;
  readonly files: readonly string[];
} {
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  const named = page.matchAll(/<(?:script|link)\b[^>]*\b(?:src|href)="\/([^"]+\.(?:js|css))"/g);
  const files = ['index.html', ...[...named].map(([, file]) => file!)];
  const sizes = files.map((file) => gzipSync(readFileSync(join(folder, file))).length);
  return { bytes: sizes.reduce((sum, size) => sum + size, 0), files };
}
