/**
 * A recipe: one short file that says what an image is made of. docs/recipes.md is its manual.
 *
 * "Field: value" lines first (deb822.ts), then the files that the recipe itself contributes, each
 * behind a line `=== /path/in/the/guest [mode]` and verbatim up to the next such line; a line
 * `=== /path -> target` is a symbolic link. `From` names another recipe, whose fields and files hold
 * unless this one has its own; likewise the files that all guests share, /init above all, are those
 * of recipes/base.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UmbraError } from '../base/errors.ts';
import { MalformedStanza, stanzas, words } from './deb822.ts';

export type RecipeFile =
  | { readonly path: string; readonly mode: number; readonly text: string }
  /** A symbolic link. */
  | { readonly path: string; readonly target: string };

export interface RecipeDisk {
  /** The name of its file, without the extension, and the label of its file system. */
  readonly name: string;
  readonly bytes: number;
}

export interface Recipe {
  readonly name: string;
  readonly summary: string;
  readonly suite: string;
  /** A package that is a kernel or depends on one. */
  readonly kernel: string;
  readonly modules: readonly string[];
  readonly packages: readonly string[];
  /** Paths to keep together with the libraries they need; empty keeps everything. */
  readonly keep: readonly string[];
  /** Paths of packages to leave out, with all that is below them. */
  readonly omit: readonly string[];
  /** The kernel's command line. */
  readonly append: string;
  /** RAM that a VM of this image gets unless told otherwise, in bytes. */
  readonly memory: number;
  /** The line that the guest prints on its console once it serves. */
  readonly ready: string;
  /** What its console asks with, or empty if there is no shell on it. */
  readonly prompt: string;
  /** TCP ports worth publishing. */
  readonly ports: readonly number[];
  readonly disks: readonly RecipeDisk[];
  readonly files: readonly RecipeFile[];
  /** SHA-256 of everything above: equal digests and equal archives give equal images. */
  readonly digest: string;
}

const builtinFolder = fileURLToPath(new URL('../../recipes/', import.meta.url));
const extension = '.recipe';
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** The recipes that come with Umbra. */
export function builtinRecipes(): string[] {
  return readdirSync(builtinFolder)
    .filter((file) => file.endsWith(extension))
    .map((file) => basename(file, extension))
    .sort();
}

/** A recipe by the name of a built-in one, or by the path of a file. */
export function loadRecipe(nameOrPath: string): Recipe {
  return finish(loadDraft(nameOrPath, []), nameOrPath);
}

/** The text of a recipe, taken apart and not yet understood. */
interface Draft {
  readonly head: ReadonlyMap<string, string>;
  readonly files: readonly RecipeFile[];
}

/** `by` are the files that led here, each by its `From`. */
function loadDraft(nameOrPath: string, by: readonly string[]): Draft {
  const isName = namePattern.test(nameOrPath);
  const path = isName ? join(builtinFolder, `${nameOrPath}${extension}`) : resolve(nameOrPath);
  if (!existsSync(path)) throw unknownRecipe(nameOrPath);
  if (by.includes(path)) throw malformed(path, 'the field "from" leads back to itself');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UmbraError(
      'image-recipe-unreadable',
      `cannot read the recipe ${path}: ${(cause as Error).message}`,
      'Name a text file; docs/recipes.md describes its form.',
      { cause },
    );
  }
  const own = takeApart(text, path);
  const from = own.head.get('from');
  if (from === undefined) return inherit({ head: new Map(), files: baseFiles() }, own);
  const next = namePattern.test(from) ? from : join(dirname(path), from);
  return inherit(loadDraft(next, [...by, path]), own);
}

function inherit(base: Draft, own: Draft): Draft {
  const inherited = base.files.filter((file) => own.files.every(({ path }) => path !== file.path));
  return { head: new Map([...base.head, ...own.head]), files: [...inherited, ...own.files] };
}

function baseFiles(): RecipeFile[] {
  const read = (name: string): string => readFileSync(join(builtinFolder, 'base', name), 'utf8');
  return [
    { path: '/init', mode: 0o755, text: read('init') },
    { path: '/etc/drivers', mode: 0o644, text: read('drivers') },
    { path: '/etc/dhcp', mode: 0o755, text: read('dhcp') },
  ];
}

function unknownRecipe(nameOrPath: string): UmbraError {
  const looksLikePath = nameOrPath.includes(sep) || nameOrPath.endsWith(extension);
  return new UmbraError(
    'image-recipe-unknown',
    looksLikePath ? `there is no file ${nameOrPath}` : `there is no recipe "${nameOrPath}"`,
    `Umbra's own recipes are ${builtinRecipes().join(', ')}; for one of yours give its path, such as ./mine${extension}.`,
  );
}

/** Thrown by the readers of single fields; `parseRecipe` adds where it was. */
class BadField extends Error {}

/** One row per field: how its text becomes a value, and what a recipe without it gets. */
const fields = {
  name: { read: matching(namePattern, 'lower-case letters, digits and dashes') },
  from: { read: (text: string) => text, absent: '' },
  summary: { read: (text: string) => text, absent: '' },
  suite: { read: matching(/^[a-z0-9./-]+$/, 'the name of a Debian suite'), absent: 'trixie' },
  kernel: { read: packageName, absent: 'linux-image-riscv64' },
  modules: { read: (text: string) => words(text), absent: '' },
  packages: { read: (text: string) => words(text).map(packageName) },
  keep: { read: (text: string) => words(text).map(guestPath), absent: '' },
  omit: { read: (text: string) => words(text).map(guestPath), absent: '' },
  append: { read: (text: string) => words(text).join(' '), absent: 'console=ttyS0 quiet' },
  memory: { read: byteSize, absent: '256M' },
  ready: { read: matching(/^.{3,}$/, 'one line of text'), absent: 'umbra: ready' },
  prompt: { read: (text: string) => text, absent: '' },
  publish: { read: (text: string) => words(text).map(portNumber), absent: '' },
  disks: { read: (text: string) => text.split('\n').flatMap(diskLine), absent: '' },
};

function finish({ head, files }: Draft, path: string): Recipe {
  const { publish: ports, from: _, ...rest } = readFields(head, path);
  const content = { ...rest, ports, files };
  const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  return { ...content, digest };
}

type FieldName = keyof typeof fields;
type Values = { [Name in FieldName]: ReturnType<(typeof fields)[Name]['read']> };

function takeApart(text: string, path: string): Draft {
  const lines = text.split('\n');
  const headEnd = lines.findIndex((line) => line.startsWith('==='));
  const head = headEnd < 0 ? lines : lines.slice(0, headEnd);
  const files = headEnd < 0 ? [] : readFiles(lines, headEnd, path);
  try {
    // Empty lines and comments may set fields apart; it is one stanza all the same.
    const [stanza] = stanzas(head.map((line) => (line.trim() === '' ? '#' : line)).join('\n'));
    return { head: stanza ?? new Map(), files };
  } catch (error) {
    if (error instanceof MalformedStanza) throw malformed(path, error.message, error.line);
    throw error;
  }
}

function readFields(head: ReadonlyMap<string, string>, path: string): Values {
  const known = Object.keys(fields);
  for (const field of head.keys()) {
    if (known.includes(field)) continue;
    throw malformed(path, `there is no field "${field}"; fields are ${known.join(', ')}`);
  }
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const value = head.get(name) ?? ('absent' in field ? field.absent : undefined);
    if (value === undefined) throw malformed(path, `the field "${name}" is missing`);
    try {
      values[name] = field.read(value);
    } catch (error) {
      if (error instanceof BadField) throw malformed(path, `the field "${name}": ${error.message}`);
      throw error;
    }
  }
  return values as Values;
}

function readFiles(lines: readonly string[], from: number, path: string): RecipeFile[] {
  const files: RecipeFile[] = [];
  for (let at = from; at < lines.length; ) {
    const form = /^=== (\/\S+)(?: ([0-7]{3,4})| -> (\S+))?\s*$/.exec(lines[at]!);
    if (form === null) {
      const forms = '"=== /path", "=== /path mode" or "=== /path -> target"';
      throw malformed(path, `a file begins with ${forms}`, at + 1);
    }
    let end = at + 1;
    while (end < lines.length && !lines[end]!.startsWith('===')) end++;
    const body = lines
      .slice(at + 1, end)
      .join('\n')
      .trim();
    const [, place, mode = '644', target] = form;
    if (target === undefined) {
      files.push({ path: place!, mode: Number.parseInt(mode, 8), text: `${body}\n` });
    } else if (body === '') files.push({ path: place!, target });
    else throw malformed(path, 'a link has no text', at + 2);
    at = end;
  }
  return files;
}

function malformed(path: string, what: string, line?: number): UmbraError {
  return new UmbraError(
    'image-recipe-malformed',
    `${path}${line === undefined ? '' : `:${line}`}: ${what}`,
    'Correct the recipe; docs/recipes.md lists all fields.',
  );
}

function matching(pattern: RegExp, wanted: string): (text: string) => string {
  return (text) => {
    if (!pattern.test(text)) throw new BadField(`"${text}" is not ${wanted}`);
    return text;
  };
}

function packageName(text: string): string {
  return matching(/^[a-z0-9][a-z0-9+.-]+$/, 'the name of a Debian package')(text);
}

function guestPath(text: string): string {
  if (!isAbsolute(text)) throw new BadField(`"${text}" does not begin with a slash`);
  return text;
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new BadField(`"${text}" is not a port, 1 to 65535`);
  }
  return port;
}

const unitShift: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

function byteSize(text: string): number {
  const [, count, unit] = /^(\d+)([KMG])$/.exec(text) ?? [];
  if (unit === undefined) throw new BadField(`"${text}" is not a size such as 256M`);
  return Number(count) * unitShift[unit]!;
}

const diskBytesMin = 16 * 2 ** 20;
/** Its hash is taken over all of it at every load. */
const diskBytesMax = 8 * 2 ** 30;

/** `NAME SIZE`, one disk a line. */
function diskLine(text: string): RecipeDisk[] {
  const [name, size, ...more] = words(text);
  if (name === undefined) return [];
  if (size === undefined || more.length > 0 || !/^[a-z0-9-]{1,16}$/.test(name)) {
    throw new BadField(`"${text.trim()}" is not a disk such as "data 256M"`);
  }
  const bytes = byteSize(size);
  if (bytes < diskBytesMin || bytes > diskBytesMax) {
    throw new BadField(`the disk ${name} has ${size}; 16M to 8G are possible`);
  }
  return [{ name, bytes }];
}
