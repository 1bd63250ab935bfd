/** A task in which a host sends an archive through this center to whoever asked (api/archive.ts). */
import type { ArchiveSum } from '../api/archive.ts';
import { UmbraError } from '../base/errors.ts';
import type { Passage } from './archive-passage.ts';
import type { Cluster } from './cluster.ts';
import type { WorkOrder } from './host-works.ts';
import type { Task, TaskWish } from './tasks.ts';

interface Sending extends WorkOrder {
  /** Everything has been read that was sent. */
  readonly sent: (sum: ArchiveSum) => void;
}

export interface PassedOn {
  readonly task: string;
  /** What comes out is the archive; `passage.begun` says whether anything does. */
  readonly passage: Passage;
}

/** @param sending what the host is asked, by the name of the work */
export function passOn(
  cluster: Cluster,
  wish: TaskWish,
  host: string,
  sending: (work: string) => Sending,
): PassedOn {
  // Without a queue a task begins at once.
  let passage: Passage | undefined;
  const act = async (task: Task): Promise<void> => {
    passage = cluster.archives.open(task.id, host);
    const { sent, ...order } = sending(task.id);
    try {
      const sum = await passage.finish(cluster.works.perform(order, task).then(sumOf));
      passage.close();
      task.result({ ...sum });
      sent(sum);
    } catch (error) {
      passage.close(error as Error);
      throw error;
    }
  };
  const { id } = cluster.tasks.run(wish, act);
  return { task: id, passage: passage! };
}

function sumOf({ bytes, sha256 }: Readonly<Record<string, unknown>>): ArchiveSum {
  const isSum = Number.isSafeInteger(bytes) && /^[0-9a-f]{64}$/.test(String(sha256));
  if (isSum) return { bytes: Number(bytes), sha256: String(sha256) };
  const why = 'the host does not say what it has sent';
  throw new UmbraError('export-broken-off', why, 'Look at the log of the host.');
}
