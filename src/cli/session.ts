/**
 * How commands find their center and speak: credentials, `--json`, tables.
 *
 * `--center URL` or UMBRA_CENTER name the center; the token and the CA come from `--credentials
 * FILE`, or else from UMBRA_HOME: session.json, which `umbra login` writes and `umbra logout` removes,
 * before credentials.json, which `umbra center start` writes.
 */
import { existsSync } from 'node:fs';
import Table from 'cli-table3';
import { type Command, InvalidArgumentError } from 'commander';
import { Client } from '../api/client.ts';
import {
  type PersonCredentials,
  personCredentialsFile,
  readPersonCredentials,
  sessionFile,
  umbraHome,
} from '../api/credentials.ts';

export interface SessionOptions {
  readonly center?: string;
  readonly credentials?: string;
}

/** Adds what every command that talks to the center takes. */
export function centerOptions(command: Command): Command {
  return command
    .option('--center <url>', 'address of the center (or UMBRA_CENTER)')
    .option('--credentials <file>', "credentials (by default a login's, or UMBRA_HOME's own)");
}

/** For what changes a VM. */
export const ifVersion = (command: Command): Command =>
  command.option(
    '--if-version <n>',
    'only if the VM still has the version that you have seen (umbra vm show)',
    (text) => {
      if (/^\d{1,15}$/.test(text)) return Number(text);
      throw new InvalidArgumentError('Give a whole number.');
    },
  );

/** The login's, if there is one, or those of the center on this machine. */
export function presentCredentials(file?: string): PersonCredentials {
  const home = umbraHome();
  const session = sessionFile(home);
  return readPersonCredentials(
    file ?? (existsSync(session) ? session : personCredentialsFile(home)),
  );
}

/** Runs an act with a client, and closes its connections whatever comes. */
export async function withCenter<T>(
  { center, credentials }: SessionOptions,
  act: (client: Client) => Promise<T>,
): Promise<T> {
  const found = presentCredentials(credentials);
  const url = center ?? process.env['UMBRA_CENTER'] ?? found.url;
  const client = new Client(url, { ca: found.ca, token: found.token });
  try {
    return await act(client);
  } finally {
    client.close();
  }
}

/** One JSON document, or what people read. */
export function show(json: boolean | undefined, value: unknown, text: () => string): void {
  console.log(json ? JSON.stringify(value) : text());
}

export function table(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const isTerminal = process.stdout.isTTY === true;
  const made = new Table({
    head: [...head],
    chars: plain,
    style: { 'padding-left': 0, 'padding-right': 2, head: isTerminal ? ['bold'] : [] },
  });
  for (const row of rows) made.push(row.map((cell) => String(cell ?? '-')));
  return made.toString().replace(/ +$/gm, '');
}

/** Columns without lines: easy to read and to cut. */
const plain = Object.fromEntries(
  ['top', 'bottom', 'left', 'right', 'mid', 'middle']
    .flatMap((name) => [name, `${name}-mid`, `${name}-left`, `${name}-right`])
    .map((name) => [name, '']),
);

/** Label and value, one a line. */
export function fields(pairs: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...pairs.map(([label]) => label.length)) + 2;
  return pairs.map(([label, value]) => `${`${label}:`.padEnd(width)}${value ?? '-'}`).join('\n');
}

export const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)}M`;
