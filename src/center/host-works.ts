/**
 * Between a task and the host that does its work: snapshots, reverts, clones, exports.
 *
 * From: an order, and the host's reports of the work's id. To: the task, which is told how far it
 * is, and goes on when the host is done or throws why it is not. In memory: whoever runs a task
 * waits here, and what a host still does for a center that has gone shows by itself.
 */
import type { DaemonMessage } from '../api/agent.ts';
import { UmbraError } from '../base/errors.ts';
import type { Task } from './tasks.ts';

export interface WorkOrder {
  /** The work's name in all reports about it. */
  readonly id: string;
  /** The order's kind (api/agent.ts). */
  readonly command:
    | 'snapshot'
    | 'snapshotDisks'
    | 'revert'
    | 'clone'
    | 'export'
    | 'sendArchive'
    | 'record'
    | 'stopRecording'
    | 'sendRecording'
    | 'keepFlight'
    | 'lookAtRecording'
    | 'replayRecording'
    | 'readRecordingConsole'
    | 'goLive'
    | 'prepareRewind'
    | 'rewind';
  /** Ids. */
  readonly vm: string;
  readonly host: string;
  readonly send: () => void;
}

/** What a work needs of whoever waits for it. */
export type Asker = Pick<Task, 'signal' | 'progress'>;

interface Waiting extends WorkOrder {
  readonly task: Asker;
  /** @param report what the host says of what has been made */
  readonly resolve: (report: Report) => void;
  readonly reject: (why: UmbraError) => void;
}

type Report = Readonly<Record<string, unknown>>;

export class HostWorks {
  readonly #waiting = new Map<string, Waiting>();

  /**
   * Gives the order and waits, however long it takes.
   * @returns the host's last report, with what it says of what has been made
   * @throws what the host says against it; `host-not-responding`; the reason of the task's signal
   */
  async perform(order: WorkOrder, task: Asker): Promise<Report> {
    task.signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Report>();
    const stop = (): void => reject(task.signal.reason);
    task.signal.addEventListener('abort', stop, { once: true });
    this.#waiting.set(order.id, { ...order, task, resolve, reject });
    try {
      order.send();
      return await promise;
    } finally {
      this.#waiting.delete(order.id);
      task.signal.removeEventListener('abort', stop);
    }
  }

  /** @returns whether the report is about a work, and nobody else need look at it */
  reported(host: string, report: Report): boolean {
    const kind = String(report['kind']);
    if (!/^(snapshot|work)-(progress|taken|done|failed)$/.test(kind)) return false;
    const work = this.#waiting.get(String(report['id']));
    // Each host speaks of its own works only.
    if (work?.host !== host) return true;
    if (kind.endsWith('-progress')) {
      const isBytes = report['bytesTotal'] !== undefined;
      const [done, total] = (isBytes ? ['bytesDone', 'bytesTotal'] : ['done', 'total']).map(
        (name) => Number(report[name]),
      ) as [number, number];
      const fraction = total > 0 ? done / total : 0;
      const words = isBytes ? `${mebibytes(done)} of ${mebibytes(total)}` : percent(fraction);
      work.task.progress(fraction, words);
    } else if (kind.endsWith('-failed')) {
      const [code, text, remedy] = ['code', 'text', 'remedy'].map((name) => String(report[name]));
      work.reject(new UmbraError(code!, text!, remedy!));
    } else {
      work.resolve(report);
    }
    return true;
  }

  /** An order could not even be begun. */
  refused(
    host: string,
    { vm, command, code, message, remedy }: DaemonMessage & { kind: 'failed' },
  ): void {
    for (const work of this.#on(host)) {
      if (work.vm !== vm || work.command !== command) continue;
      work.reject(new UmbraError(code, message, remedy));
    }
  }

  /** A process of the VM has ended there, and with it what it was about to do. */
  copyEnded(host: string, vm: string): void {
    for (const work of this.#on(host)) {
      const lost = work.vm === vm ? ofProcess[work.command] : undefined;
      if (lost === undefined) continue;
      const [code, what] = lost;
      const why = `The VM ended on this host before the ${what}.`;
      work.reject(new UmbraError(code, why, 'Look where it runs now, and ask again.'));
    }
  }

  hostLost(host: string): void {
    for (const work of this.#on(host)) work.reject(hostLost());
  }

  #on(host: string): Waiting[] {
    return [...this.#waiting.values()].filter((work) => work.host === host);
  }
}

/** Orders that the VM's process carries out. */
const ofProcess: Partial<Record<WorkOrder['command'], readonly [code: string, what: string]>> = {
  snapshot: ['snapshot-failed', 'snapshot was there'],
  record: ['recording-failed', 'recording had begun'],
  keepFlight: ['recording-failed', 'recording was kept'],
  stopRecording: ['recording-failed', 'recording was ended in order; it is whole up to there'],
};

export const hostLost = (): UmbraError =>
  new UmbraError(
    'host-not-responding',
    'The host is not responding.',
    'Look at what came of it when the host is back.',
  );

const percent = (fraction: number): string => `${Math.floor(fraction * 100)} %`;
const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)}M`;
