/** Progress of long work: one line that is rewritten on a terminal, plain lines elsewhere. */
export class ProgressLine {
  readonly #enabled: boolean;
  readonly #terminal = process.stderr.isTTY === true;
  #last = '';
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
    } else if (text !== this.#last) {
      process.stderr.write(`${text}\n`);
    }
    this.#last = text;
  }

  end(): void {
    if (this.#open) process.stderr.write('\n');
    this.#open = false;
  }
}
