/** `umbra login|logout|whoami`. */
import { existsSync, rmSync } from 'node:fs';
import type { Command } from 'commander';
import { Client } from '../api/client.ts';
import {
  readPersonCredentials,
  sessionFile,
  umbraHome,
  writePrivateFile,
} from '../api/credentials.ts';
import type { SessionView } from '../api/people.ts';
import { centerUrl } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';
import { type PasswordOptions, passwordOption, readPassword } from './password.ts';
import {
  centerOptions,
  presentCredentials,
  type SessionOptions,
  show,
  withCenter,
} from './session.ts';

interface LoginOptions extends SessionOptions, PasswordOptions {
  readonly fingerprint?: string;
  readonly json?: boolean;
}

export function registerLogin(program: Command): void {
  passwordOption(centerOptions(program.command('login')))
    .description(
      "open a session at a center; later commands use it until it ends or 'umbra logout'",
    )
    .argument('<user>')
    .option(
      '--fingerprint <hex>',
      "of the cluster's CA, on a machine that has no credentials of the cluster yet: what stands behind the dot in a join token",
    )
    .option('--json', 'print { name, role, expires }')
    .action(login);
}

async function login(user: string, options: LoginOptions): Promise<void> {
  const { url, ca } = await whereTo(options);
  const password = await readPassword(options, `Password of ${user}: `);
  const client = new Client(url, { ca });
  try {
    const { token, session } = await client.call('login', { body: { user, password } });
    const file = sessionFile(umbraHome());
    writePrivateFile(file, `${JSON.stringify({ url, token, ca }, undefined, 2)}\n`);
    show(options.json, session, () => words(session));
  } finally {
    client.close();
  }
}

/** The center, and the CA by which to know it. */
async function whereTo({ center, credentials, fingerprint }: LoginOptions) {
  const named = center ?? process.env['UMBRA_CENTER'];
  if (fingerprint === undefined) {
    const known = presentCredentials(credentials);
    return { url: centerUrl(named ?? known.url), ca: known.ca };
  }
  if (!/^[0-9a-f]{64}$/.test(fingerprint) || named === undefined) {
    throw new UmbraError(
      'fingerprint-malformed',
      named === undefined
        ? '--fingerprint needs the address of the center'
        : `"${fingerprint}" is not a fingerprint: 64 hexadecimal digits`,
      'Give --center URL and the part of a join token that stands behind the dot.',
    );
  }
  // Loads the certificate library, which nothing else here needs.
  const { fetchAuthority } = await import('../api/join.ts');
  const url = centerUrl(named);
  return { url, ca: await fetchAuthority(url, fingerprint) };
}

export function registerLogout(program: Command): void {
  program
    .command('logout')
    .description('end the session that umbra login has opened')
    .option('--json', 'print { ended }')
    .action(async ({ json }: { json?: boolean }) => {
      const file = sessionFile(umbraHome());
      const isThere = existsSync(file);
      if (isThere) await end(file);
      const text = isThere ? 'Logged out.' : 'There was no session.';
      show(json, { ended: isThere }, () => text);
    });
}

/** One that the center does not know any more has ended, too. */
async function end(file: string): Promise<void> {
  const { url, token, ca } = readPersonCredentials(file);
  const client = new Client(url, { ca, token });
  try {
    await client.call('logout');
  } catch (error) {
    const { code } = error as UmbraError;
    if (code !== 'credentials-refused' && code !== 'session-expired') throw error;
  } finally {
    client.close();
  }
  rmSync(file);
}

export function registerWhoami(program: Command): void {
  centerOptions(program.command('whoami'))
    .description('who the center takes you for')
    .option('--json', 'print { name, kind, role, expires }')
    .action(async ({ json, ...options }) => {
      const session = await withCenter(options, (client) => client.call('showSession'));
      show(json, session, () => words(session));
    });
}

const words = ({ name, kind, role, expires }: SessionView): string =>
  `${name}, ${role}, by ${kind}${expires === null ? '' : ` until ${expires}`}.`;
