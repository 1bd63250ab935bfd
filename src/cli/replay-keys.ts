/**
 * The keys of `umbra replay` on a terminal: pause, steps, places, speed. While it is paused each step
 * says where the machine is.
 *
 * From: standard input in raw mode. To: `allow` and `speed`, which a replay asks; and `takeGoal`, a
 * place to which whoever runs the replay begins it anew, backwards or forwards.
 */
import { instructionAt } from '../debug/machine-report.ts';
import type { RiscvMachine } from '../machine/riscv-machine.ts';

export const keysInWords = [
  'space  pause, or go on',
  '.      one instruction',
  ',      a thousand instructions',
  'w      where it is',
  'g      go to a place: COUNT, +N, -N, time:SECONDS, text:TEXT, event:N, frame:N, disk:N, input:N,',
  '       control:N, incident, begin, end; Escape leaves it as it is',
  'r      real time; + and - twice and half as fast',
  'f      full speed',
  'q      end',
];

const speedMax = 1024;

export class ReplayKeys {
  /** Guest seconds for a second; undefined: as fast as possible. */
  speed: number | undefined;
  #paused = false;
  #over = false;
  /** Instructions to execute although it is paused. */
  #counts = 0n;
  #told = true;
  #goal: string | undefined;
  /** What has been typed of a place; undefined: nothing is being typed. */
  #typed: string | undefined;
  #changed: (() => void) | undefined;
  readonly #raw: boolean;
  readonly #canGo: boolean;

  /**
   * @param enabled whether anybody is there to press them
   * @param canGo whether another place may be gone to: what is exported is exported once, in order
   */
  constructor(enabled: boolean, { speed, canGo }: { speed: number | undefined; canGo: boolean }) {
    const { stdin } = process;
    this.speed = speed;
    this.#canGo = canGo;
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

  /** Something is to be looked at before it goes on. */
  get isPressed(): boolean {
    return this.#over || this.#paused || !this.#told || this.#goal !== undefined;
  }

  /** Where somebody wants it to be; once. From then on it stands. */
  takeGoal(): string | undefined {
    const goal = this.#goal;
    this.#goal = undefined;
    if (goal !== undefined) this.#pause();
    return goal;
  }

  say(text: string): void {
    process.stderr.write(`\r\n${text}`);
  }

  /** @returns how many instructions may be executed next, 0 for no more at all; undefined: any */
  readonly allow = async (machine: RiscvMachine): Promise<bigint | undefined> => {
    while (!this.#over && this.#goal === undefined) {
      if (this.#counts > 0n) {
        const counts = this.#counts;
        this.#counts = 0n;
        this.#told = false;
        return counts;
      }
      if (!this.#told) this.#tell(machine);
      if (!this.#paused) return undefined;
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
    return 0n;
  };

  #pause(): void {
    this.#paused = true;
    this.#told = false;
  }

  #tell(machine: RiscvMachine): void {
    this.#told = true;
    const hart = machine.nextHart;
    const seconds = (Number(machine.time) / 1e7).toFixed(6);
    const next = hart === undefined ? 'all wait' : `hart ${hart}  ${instructionAt(machine, hart)}`;
    this.say(`count ${machine.count}  ${seconds} s  ${next}${this.#paused ? '' : '\r\n'}`);
  }

  readonly #pressed = (chunk: Buffer): void => {
    for (const key of chunk.toString('latin1')) {
      if (this.#typed !== undefined) this.#type(key);
      else this.#press(key);
    }
    this.#changed?.();
  };

  #press(key: string): void {
    if (key === 'q' || key === '\x03') this.#over = true;
    else if (key === ' ') {
      this.#paused = !this.#paused;
      this.#told = !this.#paused;
      if (!this.#paused) this.say('');
    } else if (key === '.' || key === ',') {
      this.#paused = true;
      this.#counts += key === '.' ? 1n : 1000n;
    } else if (key === 'w') this.#told = false;
    else if (key === 'g') this.#ask();
    else if ('rf+-'.includes(key)) this.#setSpeed(key);
    else this.say(`${keysInWords.join('\r\n')}\r\n`);
  }

  #ask(): void {
    if (!this.#canGo)
      return this.say('what is exported is exported in order: no place to go to\r\n');
    this.#pause();
    this.#typed = '';
    this.#told = true;
    this.say('go to: ');
  }

  #type(key: string): void {
    const typed = this.#typed!;
    if (key === '\r' || key === '\n') {
      this.#typed = undefined;
      this.#told = false;
      if (typed !== '') this.#goal = typed;
    } else if (key === '\x1b' || key === '\x03') {
      this.#typed = undefined;
      this.#told = false;
    } else if (key === '\x7f' || key === '\b') {
      if (typed === '') return;
      this.#typed = typed.slice(0, -1);
      process.stderr.write('\b \b');
    } else if (key >= ' ') {
      this.#typed += key;
      process.stderr.write(key);
    }
  }

  #setSpeed(key: string): void {
    const now = this.speed ?? 1;
    if (key === 'f') this.speed = undefined;
    else if (key === 'r') this.speed = 1;
    else this.speed = Math.min(speedMax, Math.max(1 / speedMax, key === '+' ? now * 2 : now / 2));
    const what = this.speed === undefined ? 'full speed' : `${this.speed} times real time`;
    this.say(`${what}\r\n`);
  }
}
