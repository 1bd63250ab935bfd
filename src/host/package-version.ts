import { readFile } from 'node:fs/promises';

/** The version of the package that this file belongs to, two folders up in sources and build. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
