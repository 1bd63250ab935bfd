/**
 * Progress of long work: one line that is rewritten on a terminal, plain lines elsewhere; there a
 * download has a line each tenth of the way, so that a log of it stays one that people read.
 */
export class ProgressLine {
  readonly #enabled: boolean;
  readonly #terminal = process.stderr.isTTY === true;
  #lastStep = '';
  #open = false;

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  show(text: string, done?: number, total?: number): void {
    if (!this.#enabled) return;
    const share =
      done !== undefined && total !== undefined && total > 1
        ? ` ${Math.floor((done / total) * 100)} %`
        : '';
    if (this.#terminal) {
      const width = (process.stderr.columns ?? 80) - 1;
      process.stderr.write(`\r\x1b[K${`${text}${share}`.slice(0, width)}`);
      this.#open = true;
    } else if (step(text, done, total) !== this.#lastStep) {
      process.stderr.write(`${text}\n`);
    }
    this.#lastStep = step(text, done, total);
  }

  end(): void {
    if (this.#open) process.stderr.write('\n');
    this.#open = false;
  }
}

/** What has to change for a new line: the text, or the work (before the colon) and its tenth. */
function step(text: string, done?: number, total?: number): string {
  if (done === undefined || total === undefined || total <= 1 || !text.includes(':')) return text;
  return `${text.slice(0, text.indexOf(':'))} ${Math.floor((done / total) * 10)}`;
}
