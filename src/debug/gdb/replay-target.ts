/** A recording under a debugger: forwards, backwards, to anywhere; nothing can be changed. */
import { UmbraError } from '../../base/errors.ts';
import type { Output } from '../../machine/effects.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';
import { countAtTime, countOfEntry, seekText } from '../search.ts';
import type { Landing, RecordedRun, Timeline } from '../timeline.ts';
import type { DebugTarget, Resume, Stopped } from './target.ts';

const help = `monitor where                  the count, the guest's time, the range of the recording
monitor seek COUNT|+N|-N       to a count of instructions
monitor seek time SECONDS      to a time since the guest was switched on
monitor seek event N           to entry N of the log
monitor seek text TEXT         to where TEXT has next appeared on the console
monitor seek begin|end
monitor checkpoint [NAME]      remembers this place; without a name, lists
monitor go NAME                back to such a place
monitor physical on|off        what addresses mean when memory is read
after each of them that moves: maintenance flush register-cache
`;

const ticksPerSecond = 1e7;

export class ReplayTarget implements DebugTarget {
  readonly canGoBack = true;
  readonly canChange = false;
  readonly #timeline: Timeline;
  readonly #run: RecordedRun;
  readonly #outputs: { listener: ((output: Output) => void) | undefined };
  readonly #places = new Map<string, bigint>();
  readonly #interruption: { wanted: boolean };
  readonly #detached: () => void;

  /** @param interruption what the timeline's `pause` answers */
  constructor(
    timeline: Timeline,
    run: RecordedRun,
    outputs: { listener: ((output: Output) => void) | undefined },
    interruption: { wanted: boolean },
    detached: () => void,
  ) {
    this.#timeline = timeline;
    this.#run = run;
    this.#outputs = outputs;
    this.#interruption = interruption;
    this.#detached = detached;
  }

  get machine(): RiscvMachine {
    return this.#timeline.machine;
  }

  async resume({ direction, stepHart, traps }: Resume): Promise<Stopped> {
    this.#interruption.wanted = false;
    const timeline = this.#timeline;
    if (direction === 'forward') {
      if (timeline.count >= timeline.lastCount) return { kind: 'end' };
      const landing =
        stepHart === undefined
          ? await timeline.run(timeline.lastCount, traps)
          : await timeline.stepHart(stepHart);
      // GDB takes it that a watchpoint of RISC-V stops ahead of the access, in either direction, and
      // steps over it itself to see the value.
      const watched = landing.kind === 'trap' && landing.trap.kind === 'watch';
      if (watched) await timeline.seek(timeline.count - 1n);
      return stoppedBy(landing, stepHart !== undefined);
    }
    if (stepHart !== undefined) {
      return (await timeline.stepBack(stepHart)) ? { kind: 'stepped' } : { kind: 'begin' };
    }
    const hit = await timeline.runBack(traps);
    if (hit === undefined) return { kind: 'begin' };
    if (hit !== 'interrupted' && hit.kind === 'watch') await timeline.seek(timeline.count + 1n);
    return hit === 'interrupted' ? { kind: 'interrupted' } : { kind: 'trap', trap: hit };
  }

  interrupt(): void {
    this.#interruption.wanted = true;
  }

  detached(): void {
    this.#detached();
  }

  async monitor(command: string): Promise<string> {
    const [word = '', ...rest] = command.split(/\s+/);
    this.#interruption.wanted = false;
    try {
      if (word === 'where') return this.#where();
      if (word === 'seek') return await this.#seek(command.slice(word.length).trim());
      if (word === 'checkpoint') return this.#checkpoint(rest[0]);
      if (word === 'go') return await this.#go(rest[0] ?? '');
    } catch (error) {
      if (!(error instanceof UmbraError)) throw error;
      return `${error.message} ${error.remedy}\n`;
    }
    return help;
  }

  #where(): string {
    const { count, firstCount, lastCount, machine, nextPosition } = this.#timeline;
    const seconds = (Number(machine.time) / ticksPerSecond).toFixed(6);
    return (
      `count ${count} of ${firstCount} to ${lastCount}, ${seconds} s of the guest's time, ` +
      `next entry ${nextPosition}, hart ${machine.nextHart ?? 'none'} next\n`
    );
  }

  async #seek(goal: string): Promise<string> {
    const timeline = this.#timeline;
    const [word = '', argument = ''] = goal.split(/\s+/, 2);
    if (word === 'text') {
      const text = goal.slice(4).trim();
      if (text === '') return help;
      const found = await seekText(timeline, this.#outputs, text);
      return found ? this.#where() : `"${text}" does not appear any more. ${this.#where()}`;
    }
    const count = this.#countOf(word, argument);
    if (count === undefined) return help;
    await timeline.seek(count);
    return this.#where();
  }

  #countOf(word: string, argument: string): bigint | undefined {
    const { count, firstCount, lastCount } = this.#timeline;
    if (word === 'begin') return firstCount;
    if (word === 'end') return lastCount;
    if (word === 'event' && /^\d+$/.test(argument))
      return countOfEntry(this.#run, Number(argument));
    if (word === 'time' && /^\d+(\.\d+)?$/.test(argument)) {
      const ticks = BigInt(Math.round(Number(argument) * ticksPerSecond));
      return countAtTime(this.#run, ticks, this.#run.positionBefore(ticks));
    }
    if (/^\+\d+$/.test(word)) return count + BigInt(word.slice(1));
    if (/^-\d+$/.test(word)) return count - BigInt(word.slice(1));
    return /^\d+$/.test(word) ? BigInt(word) : undefined;
  }

  #checkpoint(name: string | undefined): string {
    if (name !== undefined) {
      this.#places.set(name, this.#timeline.count);
      return `${name} is ${this.#where()}`;
    }
    const lines = [...this.#places].map(([each, count]) => `${each}  count ${count}\n`);
    return lines.length > 0 ? lines.join('') : 'no checkpoints yet: monitor checkpoint NAME\n';
  }

  async #go(name: string): Promise<string> {
    const count = this.#places.get(name);
    if (count === undefined) return `There is no checkpoint "${name}".\n`;
    await this.#timeline.seek(count);
    return this.#where();
  }
}

function stoppedBy(landing: Landing, stepping: boolean): Stopped {
  switch (landing.kind) {
    case 'trap':
      return landing;
    case 'until':
      return { kind: stepping ? 'stepped' : 'end' };
    case 'diverged': {
      const { count, expected, actual } = landing.divergence;
      throw new UmbraError(
        'replay-diverged',
        `The replay differs from the recording at count ${count}: ${expected}, ${actual}.`,
        'umbra replay --verify says where it begins.',
      );
    }
    default:
      return { kind: landing.kind };
  }
}
