/**
 * Passwords on the command line: from a file, from a prompt that does not show them, or from
 * standard input. Never as an argument, which every user of the machine could read.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { UmbraError } from '../base/errors.ts';

export interface PasswordOptions {
  readonly passwordFile?: string;
}

export const passwordOption = (command: Command): Command =>
  command.option('--password-file <file>', 'read the password from a file instead of asking');

/** The first line of what is there. */
export async function readPassword(
  { passwordFile }: PasswordOptions,
  question: string,
): Promise<string> {
  const password = passwordFile !== undefined ? firstLine(read(passwordFile)) : await ask(question);
  if (password !== '') return password;
  throw new UmbraError(
    'password-missing',
    'no password was given',
    'Type it when asked, pipe it in, or name a file with --password-file.',
  );
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const why = `the password cannot be read: ${(cause as Error).message}`;
    throw new UmbraError('password-missing', why, 'Name another file.', { cause });
  }
}

const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0]!;

function ask(question: string): Promise<string> {
  const isTerminal = process.stdin.isTTY === true;
  if (isTerminal) process.stderr.write(question);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: isTerminal });
  return new Promise((resolve) => {
    let answer = '';
    lines.once('line', (line) => {
      answer = line;
      lines.close();
    });
    lines.once('close', () => {
      if (isTerminal) process.stderr.write('\n');
      resolve(answer);
    });
  });
}
