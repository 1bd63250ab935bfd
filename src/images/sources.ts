/**
 * Where this machine gets Debian from: the mirrors of its apt sources, the proxy of its apt
 * configuration, the keyring that its Debian installation trusts.
 *
 * Umbra names no mirror itself. Formats: sources.list(5), both styles; apt.conf(5), the proxy only.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { stanzas, words } from './deb822.ts';

export interface Sources {
  /** Addresses of archives without a slash at their end, in the order of preference. */
  readonly mirrors: readonly string[];
  /** By scheme, `http` or `https`. */
  readonly proxies: Readonly<Record<string, string>>;
}

/** Reads the apt configuration below `root`; an explicit mirror replaces the ones found there. */
export function aptSources(mirror?: string, root = '/etc/apt'): Sources {
  const proxies = aptProxies(root);
  if (mirror !== undefined) {
    if (!isWebAddress(mirror)) {
      throw new UmbraError(
        'image-mirror-malformed',
        `"${mirror}" is not the address of a mirror`,
        'Give an http or https address, the one above the folder "dists".',
      );
    }
    return { mirrors: [withoutSlash(mirror)], proxies };
  }
  const found = [...aptEntries(root)].filter((uri) => isWebAddress(uri)).map(withoutSlash);
  if (found.length === 0) {
    throw new UmbraError(
      'image-mirror-none',
      `the apt sources of this machine (${root}) name no web mirror with the component "main"`,
      'Name a Debian mirror with --mirror URL, the address above its folder "dists".',
    );
  }
  return { mirrors: [...new Set(found)], proxies };
}

function* aptEntries(root: string): Generator<string> {
  for (const file of [join(root, 'sources.list'), ...folder(join(root, 'sources.list.d'))]) {
    if (!existsSync(file)) continue;
    if (file.endsWith('.list')) yield* oneLineEntries(readFileSync(file, 'utf8'));
    else if (file.endsWith('.sources')) yield* stanzaEntries(readFileSync(file, 'utf8'));
  }
}

/** `deb [options] URI suite components`, one a line. */
function* oneLineEntries(text: string): Generator<string> {
  for (const line of text.split('\n')) {
    const [, uri, components] =
      /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)\s+\S+\s+([^#]*)/.exec(line) ?? [];
    if (uri !== undefined && words(components).includes('main')) yield uri;
  }
}

function* stanzaEntries(text: string): Generator<string> {
  for (const stanza of stanzas(text)) {
    if (/^(no|false|off|0|disable|without)$/i.test(stanza.get('enabled') ?? 'yes')) continue;
    if (!words(stanza.get('types')).includes('deb')) continue;
    if (words(stanza.get('components')).includes('main')) yield* words(stanza.get('uris'));
  }
}

/** `Acquire::http::Proxy "address";` in any of apt's configuration files; the last one counts. */
function aptProxies(root: string): Record<string, string> {
  const proxies: Record<string, string> = {};
  for (const file of [...folder(join(root, 'apt.conf.d')), join(root, 'apt.conf')]) {
    if (!existsSync(file)) continue;
    const setting = /^\s*Acquire::(https?)::Proxy\s+"([^"]*)"\s*;/gim;
    for (const [, scheme, address] of readFileSync(file, 'utf8').matchAll(setting)) {
      if (isWebAddress(address!)) proxies[scheme!.toLowerCase()] = address!;
      else delete proxies[scheme!.toLowerCase()];
    }
  }
  return proxies;
}

/**
 * The keys that this machine's Debian trusts for archives, binary or armored. `UMBRA_KEYRING` names
 * a file to be used in their place.
 */
export function debianKeyrings(root = '/usr/share/keyrings'): Uint8Array[] {
  const named = process.env['UMBRA_KEYRING'];
  const usual = ['debian-archive-keyring.pgp', 'debian-archive-keyring.gpg'];
  const candidates = named === undefined ? usual.map((name) => join(root, name)) : [named];
  const found = candidates.find((path) => existsSync(path));
  if (found !== undefined) return [readFileSync(found)];
  throw new UmbraError(
    'image-keyring-missing',
    `there is no Debian keyring at ${candidates.join(' or ')}: nothing from a mirror can be trusted`,
    'Install the package debian-archive-keyring, or name a keyring file with UMBRA_KEYRING.',
  );
}

function folder(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .sort()
    .map((name) => join(path, name));
}

const isWebAddress = (uri: string): boolean => /^https?:\/\/[^/]/.test(uri) && URL.canParse(uri);
const withoutSlash = (uri: string): string => uri.replace(/\/+$/, '');
