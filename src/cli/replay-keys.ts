/**
 * The keys of `umbra replay` on a terminal: space pauses and goes on, `.` executes one instruction,
 * `,` a thousand, q ends. While it is paused each step says where the machine is.
 */
import { instructionAt } from '../debug/machine-report.ts';
import type { RiscvMachine } from '../machine/riscv-machine.ts';

const help = '\r\nspace: pause or go on   .: one instruction   ,: a thousand   q: end\r\n';

export class ReplayKeys {
  #paused = false;
  #over = false;
  /** Instructions to execute although it is paused. */
  #counts = 0n;
  #told = true;
  #changed: (() => void) | undefined;
  readonly #raw: boolean;

  /** @param enabled whether anybody is there to press them */
  constructor(enabled: boolean) {
    const { stdin } = process;
    this.#raw = enabled && stdin.isTTY === true && process.stdout.isTTY === true;
    if (!this.#raw) return;
    stdin.setRawMode(true);
    stdin.on('data', this.#pressed);
    stdin.resume();
  }

  close(): void {
    const { stdin } = process;
    if (!this.#raw) return;
    stdin.off('data', this.#pressed);
    stdin.setRawMode(false);
    stdin.pause();
  }

  /** @returns how many instructions may be executed next, 0 for no more at all; undefined: any */
  readonly allow = async (machine: RiscvMachine): Promise<bigint | undefined> => {
    while (!this.#over) {
      if (this.#counts > 0n) {
        const counts = this.#counts;
        this.#counts = 0n;
        this.#told = false;
        return counts;
      }
      if (!this.#paused) return undefined;
      if (!this.#told) this.#tell(machine);
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    return 0n;
  };

  #tell(machine: RiscvMachine): void {
    this.#told = true;
    const hart = machine.nextHart;
    const seconds = (Number(machine.time) / 1e7).toFixed(6);
    const next = hart === undefined ? 'all wait' : `hart ${hart}  ${instructionAt(machine, hart)}`;
    process.stderr.write(`\r\ncount ${machine.count}  ${seconds} s  ${next}`);
  }

  readonly #pressed = (chunk: Buffer): void => {
    for (const key of chunk.toString('latin1')) {
      if (key === 'q' || key === '\x03') this.#over = true;
      else if (key === ' ') {
        this.#paused = !this.#paused;
        this.#told = !this.#paused;
      } else if (key === '.' || key === ',') {
        this.#paused = true;
        this.#counts += key === '.' ? 1n : 1000n;
      } else process.stderr.write(help);
    }
    this.#changed?.();
  };
}
