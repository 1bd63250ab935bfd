/**
 * A Debian archive, as far as it can be proved: InRelease signed by a key of this machine's Debian,
 * the package index by its hash in InRelease, every package by its hash in the index.
 *
 * Formats: Debian repository format (the wiki page of that name), OpenPGP clear-signed
 * text (RFC 9580, section 7).
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  type CleartextMessage,
  type Key,
  readCleartextMessage,
  readKey,
  readKeys,
  verify,
} from 'openpgp';
import { UmbraError } from '../base/errors.ts';
import type { Cache, Wanted } from './cache.ts';
import { decompressAll } from './compression.ts';
import { type Stanza, stanzas, words } from './deb822.ts';
import type { Downloader } from './download.ts';

const architecture = 'riscv64';
const indexFolder = `main/binary-${architecture}`;
/** By preference; a signed Release file lists what there is. */
const indexNames = ['Packages.xz', 'Packages.gz'];

/** What a signed Release file says, and who it was that served it. */
export interface Release {
  readonly mirror: string;
  readonly suite: string;
  /** What else the archive calls this suite: `stable` for the codename, or the other way round. */
  readonly otherName: string;
  /** As Debian names the state of the suite, such as `13.7`. */
  readonly version: string;
  readonly date: string;
  /** Size and hash of each file below `dists/<suite>/`, by path. */
  readonly files: ReadonlyMap<string, { readonly bytes: number; readonly sha256: string }>;
}

/** A package as the index describes it. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** Pre-Depends and Depends together: all are needed, and no script will ever run. */
  readonly depends: string;
  readonly provides: string;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The Release file of the first mirror that carries the suite, its signature verified. */
export async function openRelease(
  mirrors: readonly string[],
  suite: string,
  keyrings: readonly Uint8Array[],
  from: Downloader,
): Promise<Release> {
  let failure: unknown;
  for (const mirror of mirrors) {
    const address = `${mirror}/dists/${suite}/InRelease`;
    const text = await readText(address, from).catch((error: unknown) => {
      failure ??= error;
      return undefined;
    });
    if (text !== undefined)
      return readRelease(await verified(text, keyrings, address), mirror, suite);
  }
  if (failure !== undefined) throw failure;
  throw new UmbraError(
    'image-suite-unknown',
    `none of the mirrors ${mirrors.join(', ')} has the suite "${suite}"`,
    'Correct the field Suite of the recipe, or name a full Debian mirror with --mirror URL.',
  );
}

async function readText(address: string, from: Downloader): Promise<string | undefined> {
  const download = await from.open(address);
  if (download === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of download.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** The signed text. One good signature by a known key suffices, as for apt. */
async function verified(
  armored: string,
  keyrings: readonly Uint8Array[],
  address: string,
): Promise<string> {
  let message: CleartextMessage;
  try {
    message = await readCleartextMessage({ cleartextMessage: armored });
  } catch (cause) {
    throw badSignature(address, 'it is not a clear-signed text', cause);
  }
  const verificationKeys = (await Promise.all(keyrings.map(readKeyring))).flat();
  const result = await verify({ message, verificationKeys });
  let why: unknown;
  for (const signature of result.signatures) {
    try {
      await signature.verified;
      return result.data as string;
    } catch (cause) {
      why ??= cause;
    }
  }
  throw badSignature(address, (why as Error | undefined)?.message ?? 'it has no signature', why);
}

async function readKeyring(keyring: Uint8Array): Promise<Key[]> {
  const armored = Buffer.from(keyring).toString('latin1').startsWith('-----BEGIN');
  if (armored) return [await readKey({ armoredKey: Buffer.from(keyring).toString('utf8') })];
  return readKeys({ binaryKeys: keyring });
}

function badSignature(address: string, why: string, cause: unknown): UmbraError {
  return new UmbraError(
    'image-signature-bad',
    `${address} is not signed by a Debian key that this machine trusts: ${why}`,
    'Use another mirror (--mirror URL), or update the package debian-archive-keyring.',
    { cause },
  );
}

function readRelease(text: string, mirror: string, suite: string): Release {
  const release = [...stanzas(text)][0] ?? new Map<string, string>();
  // Otherwise a mirror could pass off an older suite under the name of a newer one.
  if (release.get('codename') !== suite && release.get('suite') !== suite) {
    throw new UmbraError(
      'image-signature-bad',
      `${mirror} serves the suite "${release.get('codename')}" in the place of "${suite}"`,
      'Use another mirror (--mirror URL).',
    );
  }
  const files = new Map<string, { bytes: number; sha256: string }>();
  for (const line of (release.get('sha256') ?? '').split('\n')) {
    const [sha256, bytes, path] = words(line);
    if (path !== undefined) files.set(path, { bytes: Number(bytes), sha256: sha256! });
  }
  const field = (name: string): string => release.get(name) ?? '';
  const otherName = field('codename') === suite ? field('suite') : field('codename');
  return { mirror, suite, otherName, version: field('version'), date: field('date'), files };
}

/**
 * A release and its packages. A mirror in the middle of an update may have one file of a suite
 * already and another not yet; then the suite's other name often still has files that agree. They
 * are verified in the same way.
 */
export async function openArchive(
  open: (suite: string) => Promise<Release>,
  read: (release: Release) => Promise<Package[]>,
  suite: string,
): Promise<{ release: Release; index: Package[] }> {
  const release = await open(suite);
  try {
    return { release, index: await read(release) };
  } catch (failure) {
    if (!isMidUpdate(failure) || release.otherName === '') throw failure;
    try {
      const other = await open(release.otherName);
      return { release: other, index: await read(other) };
    } catch {
      throw failure;
    }
  }
}

const isMidUpdate = (failure: unknown): boolean =>
  failure instanceof UmbraError &&
  ['image-hash-bad', 'image-download-missing'].includes(failure.code);

/** The packages of the component main. */
export async function readIndex(
  release: Release,
  cache: Cache,
  from: Downloader,
  onBytes?: (count: number) => void,
): Promise<Package[]> {
  const wanted = indexFile(release);
  const packed = await readFile(await cache.fetch(wanted, from, onBytes));
  const text = Buffer.from(await decompressAll(packed, wanted.address)).toString('utf8');
  const packages: Package[] = [];
  for (const stanza of stanzas(text)) packages.push(readPackage(stanza));
  return packages;
}

export function indexFile(release: Release): Wanted {
  const paths = indexNames.map((name) => `${indexFolder}/${name}`);
  const path = paths.find((each) => release.files.has(each));
  if (path === undefined) {
    throw new UmbraError(
      'image-suite-unknown',
      `the suite "${release.suite}" of ${release.mirror} has no packages for ${architecture}`,
      'Use a suite that supports riscv64: trixie or later.',
    );
  }
  const address = `${release.mirror}/dists/${release.suite}/${path}`;
  return { address, ...release.files.get(path)!, title: 'the package index' };
}

function readPackage(stanza: Stanza): Package {
  const field = (name: string): string => stanza.get(name) ?? '';
  const depends = [field('pre-depends'), field('depends')].filter((list) => list !== '');
  return {
    name: field('package'),
    version: field('version'),
    depends: depends.join(', '),
    provides: field('provides'),
    path: field('filename'),
    bytes: Number(field('size')),
    sha256: field('sha256'),
  };
}

export function packageFile(release: Release, of: Package): Wanted {
  const { bytes, sha256 } = of;
  return {
    address: `${release.mirror}/${of.path}`,
    bytes,
    sha256,
    title: `the package ${of.name}`,
  };
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
