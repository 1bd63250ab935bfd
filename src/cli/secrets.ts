/**
 * What is nobody else's on this machine. Arguments of a process can be read by every user, its
 * environment and standard input cannot: a join token comes by one of these.
 */
import { createInterface } from 'node:readline';

export const tokenHelp =
  'the join token, or - to read it from standard input (or UMBRA_JOIN_TOKEN); once';

/** @param given by `--token`; `-` stands for standard input */
export async function readJoinToken(given: string | undefined): Promise<string | undefined> {
  const token = given === '-' ? await firstLine() : given;
  const found = token ?? process.env['UMBRA_JOIN_TOKEN'];
  // VM processes and whoever else is started need not know.
  delete process.env['UMBRA_JOIN_TOKEN'];
  return found?.trim();
}

function firstLine(): Promise<string | undefined> {
  const lines = createInterface({ input: process.stdin });
  return new Promise((resolve) => {
    lines.once('close', () => resolve(undefined));
    lines.once('line', (line) => {
      resolve(line);
      lines.close();
      process.stdin.unref();
    });
  });
}

/** Keys, disks, logs, sockets: whatever this process and its children make is its user's alone. */
export function privateFiles(): void {
  process.umask(0o077);
}
