/** An image in QEMU on its `virt` board: its console as text, and commands typed on it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import type { Image } from '../../src/images/image.ts';

export const qemu = 'qemu-system-riscv64';
export const qemuMissing =
  spawnSync(qemu, ['--version']).status === 0 ? false : `${qemu} is not installed`;

export class Guest {
  readonly #process: ChildProcess;
  #console = '';
  readonly exited: Promise<number | null>;

  constructor(image: Image, devices: readonly string[], append = '') {
    const board = ['-machine', 'virt', '-m', `${image.memory / 2 ** 20}M`, '-nographic'];
    const kernel = ['-kernel', image.kernelPath, '-initrd', image.initrdPath];
    const line = ['-append', `${image.append} ${append}`.trim()];
    this.#process = spawn(qemu, [...board, ...kernel, ...line, ...devices]);
    this.#process.stdout!.on('data', (chunk: Buffer) => {
      this.#console += chunk.toString('latin1');
    });
    this.exited = new Promise((resolve) => this.#process.on('exit', resolve));
  }

  /** Waits until the console has shown the pattern behind `after`; returns the console so far. */
  async shows(pattern: RegExp, secondsMax = 60): Promise<string> {
    const end = Date.now() + secondsMax * 1000;
    while (!pattern.test(this.#console)) {
      if (Date.now() > end || this.#process.exitCode !== null) {
        throw new Error(`the console never showed ${pattern}:\n${this.#console.slice(-2000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return this.#console;
  }

  type(line: string): void {
    this.#process.stdin!.write(`${line}\n`);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }
}
