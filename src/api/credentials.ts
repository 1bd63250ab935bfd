/**
 * Who somebody is in the cluster, at rest.
 *
 * A daemon has a folder with `daemon.json` and two PEM files: `ca.pem`, and `identity.pem` with its
 * certificate and key together, so that a renewal replaces both or neither. The certificate's common
 * name is its id. A person has one file with the center's address, its CA and a token. Files with
 * secrets are readable by their owner only, and each is whole or absent: written aside, then renamed.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { UmbraError } from '../base/errors.ts';

/** PEM files of a daemon; certificate and key are in one. */
export interface Credentials {
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface DaemonCredentials extends Credentials {
  readonly daemonId: string;
}

/** What a person needs to talk to a center: `admin.json`, `UMBRA_HOME/credentials.json`. */
export interface PersonCredentials {
  readonly url: string;
  readonly token: string;
  /** The cluster's CA, PEM: the center is believed only with a certificate of this CA. */
  readonly ca: string;
  /** Where the center keeps the original: a copy without one is of a cluster that has gone. */
  readonly adminFile?: string;
}

/** Where images, state and credentials of the local user are. */
export function umbraHome(): string {
  return process.env['UMBRA_HOME'] ?? join(homedir(), '.umbra');
}

export const personCredentialsFile = (home: string): string => join(home, 'credentials.json');

/** What a login leaves: goes before the credentials, until it is ended. */
export const sessionFile = (home: string): string => join(home, 'session.json');

export function readPersonCredentials(file: string): PersonCredentials {
  const { url, token, ca, adminFile } = parse(file, read(file)) as Partial<PersonCredentials>;
  if (typeof url !== 'string' || typeof token !== 'string' || typeof ca !== 'string') {
    throw malformed(file);
  }
  return { url, token, ca, ...(typeof adminFile === 'string' && { adminFile }) };
}

export function daemonFiles(directory: string): Credentials {
  const identityFile = join(directory, 'identity.pem');
  return {
    caFile: join(directory, 'ca.pem'),
    certificateFile: identityFile,
    keyFile: identityFile,
  };
}

/** The identity that an earlier join has left in this folder, if there is one. */
export function readDaemonCredentials(directory: string): DaemonCredentials | undefined {
  const file = join(directory, 'daemon.json');
  if (!existsSync(file)) return undefined;
  const { daemonId } = parse(file, read(file)) as { daemonId?: string };
  if (typeof daemonId !== 'string') throw malformed(file);
  bringTogether(directory);
  return { ...daemonFiles(directory), daemonId };
}

/** Earlier versions kept certificate and key apart. */
function bringTogether(directory: string): void {
  const { certificateFile } = daemonFiles(directory);
  const apart = ['certificate.pem', 'key.pem'].map((name) => join(directory, name));
  if (!existsSync(certificateFile) && apart.every((file) => existsSync(file))) {
    const [certificate, key] = apart.map(read);
    writeIdentity(directory, certificate!, key!);
  }
  for (const file of apart) rmSync(file, { force: true });
}

/** Whole or not at all: who reads it has a certificate and its key. */
export function writeIdentity(directory: string, certificate: string, key: string): void {
  const text = [certificate, key].map((pem) => `${pem.trimEnd()}\n`).join('');
  writePrivateFile(daemonFiles(directory).certificateFile, text);
}

export function writeDaemonCredentials(
  directory: string,
  daemonId: string,
  pem: { readonly ca: string; readonly certificate: string; readonly key: string },
): DaemonCredentials {
  const files = daemonFiles(directory);
  writeIdentity(directory, pem.certificate, pem.key);
  writePrivateFile(files.caFile, pem.ca);
  // Last: only a folder with this file counts as joined.
  writePrivateFile(join(directory, 'daemon.json'), `${JSON.stringify({ daemonId })}\n`);
  return { ...files, daemonId };
}

/** Whole or not at all, mode 0600. */
export function writePrivateFile(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const aside = `${file}.${process.pid}`;
    writeFileSync(aside, text, { mode: 0o600, flush: true });
    renameSync(aside, file);
  } catch (cause) {
    throw new UmbraError(
      'directory-unwritable',
      `${file} cannot be written: ${(cause as Error).message}`,
      'Give a folder that this user may write.',
      { cause },
    );
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UmbraError(
      'credentials-missing',
      `no credentials: ${file} cannot be read`,
      'Start a center on this machine, or set UMBRA_HOME to where your credentials.json is.',
      { cause },
    );
  }
}

function parse(file: string, text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw malformed(file);
}

function malformed(file: string): UmbraError {
  return new UmbraError(
    'credentials-malformed',
    `${file} is not a file of credentials that this version understands`,
    'Restore it, or remove it and obtain credentials again.',
  );
}
