/** How a build says how far it is. */
export interface Progress {
  readonly step: 'wait' | 'release' | 'index' | 'packages' | 'unpack' | 'write' | 'done';
  /** Bytes of a download, or things done; `total` in the same unit. */
  readonly done: number;
  readonly total: number;
  /** One line for a terminal. */
  readonly text: string;
}

export type Report = (step: Progress['step'], done: number, total: number, text: string) => void;

/** Adds up bytes and reports their sum. */
export function counter(
  report: Report,
  step: Progress['step'],
  total: number,
  what: string,
): (count: number) => void {
  let done = 0;
  return (count) => {
    done += count;
    report(step, done, total, `${what}: ${megabytes(done)} of ${megabytes(total)}`);
  };
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
