/** How a process has a file open, as Linux tells it (proc(5)). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * @returns the flags of open(2)
 * @throws if the process does not have it open
 */
export function openFlags(process: number | 'self', path: string): number {
  const folder = `/proc/${process}`;
  for (const fd of readdirSync(`${folder}/fd`)) {
    try {
      if (readlinkSync(`${folder}/fd/${fd}`) !== path) continue;
      const info = readFileSync(`${folder}/fdinfo/${fd}`, 'utf8');
      return Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)![1]!, 8);
    } catch (error) {
      // Closed meanwhile: the descriptor by which this folder itself was read.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error(`${path} is not open in ${process}`);
}
