/** Disks that a replay writes to, so that they are at its end what they were when it was recorded. */

import { UmbraError } from '../../base/errors.ts';
import type { Output } from '../../machine/effects.ts';
import { type DiskFile, FileDisks } from '../vm/file-disk.ts';
import type { ReplayExport } from './exports.ts';

export class DiskReplica implements ReplayExport {
  readonly #disks: FileDisks;
  #failed = false;
  #underWay = 0;
  #settled: (() => void) | undefined;

  private constructor(open: (done: (ok: boolean) => void) => FileDisks) {
    this.#disks = open((ok) => {
      this.#failed ||= !ok;
      this.#underWay--;
      if (this.#underWay === 0) this.#settled?.();
    });
  }

  static async open(files: readonly DiskFile[]): Promise<DiskReplica> {
    let tell: (ok: boolean) => void = () => {};
    const disks = await FileDisks.open(files, (_origin, { ok }) => tell(ok));
    return new DiskReplica((done) => {
      tell = done;
      return disks;
    });
  }

  output(output: Output): void {
    if (output.kind !== 'disk') return;
    const { action } = output.request;
    if (action !== 'write' && action !== 'discard') return;
    this.#underWay++;
    this.#disks.submit('copy', output.request);
  }

  /** Resolves when every write has been done, and the files are closed. */
  async settled(): Promise<void> {
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#settled = resolve;
      });
    }
    await this.#disks.close();
    if (!this.#failed) return;
    throw new UmbraError(
      'disk-unwritable',
      'A disk could not be written while the recording was replayed.',
      'See that there is room, and begin again from a fresh copy.',
    );
  }

  close(): void {}
}
