/**
 * The rules of the house, held by a check: imports point one way, and the folders whose code must
 * run identically on both hosts know no clock, no randomness and no Node module.
 *
 * Input: every .ts and .tsx file under src/. Output: one line per violation. Tests beside the sources may
 * use Node; they are checked for direction only.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

/** What each folder may import from, itself excepted. `sim` may import anything. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  isa: ['base'],
  machine: ['base', 'isa'],
  engine: ['base', 'isa', 'machine'],
  devices: ['base', 'machine'],
  board: ['base', 'isa', 'machine', 'engine', 'devices'],
  lockstep: ['base', 'machine'],
  network: ['base'],
  images: ['base'],
  api: ['base'],
  host: [
    'base',
    'isa',
    'machine',
    'engine',
    'devices',
    'board',
    'lockstep',
    'network',
    'images',
    'api',
    'debug',
  ],
  center: ['base', 'api', 'lockstep'],
  cli: [
    ...['base', 'api', 'board', 'host', 'center', 'images', 'network', 'lockstep', 'machine'],
    'debug',
  ],
  debug: ['base', 'isa', 'machine', 'lockstep'],
  console: ['api'],
};

/** Folders whose code is executed on both sides of a pair and must not be able to tell them apart. */
export const pureFolders = [
  'base',
  'isa',
  'machine',
  'engine',
  'devices',
  'board',
  'lockstep',
  'network',
];

/** The only members of Math that are exact on every platform. */
const exactMath = new Set([
  'abs',
  'min',
  'max',
  'floor',
  'ceil',
  'trunc',
  'round',
  'sign',
  'imul',
  'clz32',
  'fround',
  'sqrt',
]);

const impure: readonly [RegExp, string][] = [
  [/\bfrom 'node:|\bimport\('node:/, 'imports a Node module'],
  [/\bnew Date\b|\bDate\.now\b/, 'reads a clock'],
  [/\bperformance\./, 'reads a clock'],
  [/\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b/, 'uses a timer'],
  [/\bMath\.random\b|\bcrypto\./, 'uses randomness'],
  [/\bprocess\.|\bBuffer\b/, 'uses a Node global'],
  [/\.toLocale|\bIntl\./, 'depends on the locale'],
];

function stripComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

export function violations(root: string): string[] {
  const source = join(root, 'src');
  const found: string[] = [];
  for (const name of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!/\.tsx?$/.test(name)) continue;
    const folder = name.split('/')[0]!;
    const isTest = name.endsWith('.test.ts');
    const text = stripComments(readFileSync(join(source, name), 'utf8'));
    for (const [, target] of text.matchAll(/\bfrom '(\.[^']+)'/g)) {
      const to = relative(source, resolve(dirname(join(source, name)), target!)).split('/')[0]!;
      if (to === folder || folder === 'sim') continue;
      if (isTest && to === 'base') continue;
      if (to === 'sim' || !mayImport[folder]?.includes(to)) {
        if (isTest) continue;
        found.push(`${name}: ${folder} may not import from ${to}`);
      }
    }
    if (!pureFolders.includes(folder) || isTest) continue;
    for (const [pattern, why] of impure) {
      if (pattern.test(text)) found.push(`${name}: ${folder} must be pure, but this ${why}`);
    }
    for (const [, member] of text.matchAll(/\bMath\.(\w+)/g)) {
      if (!exactMath.has(member!)) found.push(`${name}: Math.${member} is not exact everywhere`);
    }
  }
  return found;
}
