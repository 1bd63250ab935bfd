/**
 * What hosts are doing that takes a while: snapshots, reverts, clones. In memory: a center that is
 * started anew has forgotten them, the hosts go on, and what comes of it shows by itself.
 *
 * From: orders, and the hosts' reports of each work's id. To: people who look, and one act of the
 * center when it is done.
 */
import type { DaemonMessage } from '../api/agent.ts';
import type { WorkView } from '../api/state-endpoints.ts';
import { UmbraError } from '../base/errors.ts';

interface Work {
  readonly id: string;
  readonly kind: WorkView['kind'];
  /** Ids. */
  readonly vm: string;
  readonly host: string;
  state: WorkView['state'];
  bytesDone: number;
  bytesTotal: number;
  error: WorkView['error'];
  file: string | null;
  /** Changes what the center knows; an `UmbraError` makes the work fail after all. */
  readonly whenDone: () => void | Promise<void>;
}

/** Finished works that are remembered. */
const keptMax = 1_000;

type Report = Readonly<Record<string, unknown>>;

export class Works {
  readonly #works = new Map<string, Work>();

  begin(work: Pick<Work, 'id' | 'kind' | 'vm' | 'host' | 'whenDone'>): Work {
    const whole: Work = {
      ...work,
      state: 'running',
      bytesDone: 0,
      bytesTotal: 0,
      error: null,
      file: null,
    };
    this.#works.set(work.id, whole);
    for (const [id, { state }] of this.#works) {
      if (this.#works.size <= keptMax) break;
      if (state !== 'running') this.#works.delete(id);
    }
    return whole;
  }

  find(id: string): Work {
    const found = this.#works.get(id);
    if (found !== undefined) return found;
    throw new UmbraError('work-unknown', `there is no work "${id}"`, 'See umbra vm events.');
  }

  /** @returns whether the report is about a work, and nobody else need look at it */
  reported(report: Report): boolean {
    const kind = String(report['kind']);
    if (!/^(snapshot|work)-(progress|taken|done|failed)$/.test(kind)) return false;
    const work = this.#works.get(String(report['id']));
    if (work?.state !== 'running') return true;
    if (kind.endsWith('-progress')) {
      work.bytesDone = Number(report['bytesDone']);
      work.bytesTotal = Number(report['bytesTotal']);
    } else if (kind.endsWith('-failed')) {
      const [code, text, remedy] = ['code', 'text', 'remedy'].map((name) => String(report[name]));
      this.fail(work, { code: code!, text: text!, remedy: remedy! });
    } else {
      if (typeof report['file'] === 'string') work.file = report['file'];
      void this.#done(work);
    }
    return true;
  }

  /** An order could not even be begun. */
  refused(
    host: string,
    { vm, command, code, message, remedy }: DaemonMessage & { kind: 'failed' },
  ) {
    for (const work of this.#runningOn(host)) {
      if (work.vm === vm && work.kind === command) this.fail(work, { code, text: message, remedy });
    }
  }

  /** A process of the VM has ended there, and with it the snapshot that it took. */
  copyEnded(host: string, vm: string): void {
    for (const work of this.#runningOn(host)) {
      if (work.vm !== vm || work.kind !== 'snapshot') continue;
      const text = 'The VM ended on this host before the snapshot was there.';
      this.fail(work, { code: 'snapshot-failed', text, remedy: 'Take it again.' });
    }
  }

  hostLost(host: string): void {
    const text = 'The host is not responding.';
    const remedy = 'Look at what came of it when the host is back.';
    for (const work of this.#runningOn(host)) {
      this.fail(work, { code: 'host-not-responding', text, remedy });
    }
  }

  fail(work: Work, error: NonNullable<WorkView['error']>): void {
    if (work.state !== 'running') return;
    work.state = 'failed';
    work.error = error;
  }

  async #done(work: Work): Promise<void> {
    try {
      await work.whenDone();
      work.state = 'done';
      work.bytesDone = work.bytesTotal;
    } catch (error) {
      if (!(error instanceof UmbraError)) throw error;
      const { code, message: text, remedy } = error;
      this.fail(work, { code, text, remedy });
    }
  }

  #runningOn(host: string): Work[] {
    return [...this.#works.values()].filter(
      (work) => work.host === host && work.state === 'running',
    );
  }
}

export type { Work };
