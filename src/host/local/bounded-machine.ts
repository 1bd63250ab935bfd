/** A machine that is taken for switched off at a given count: `--max-instructions`. */
import type { EndsAt, Machine, Stop } from '../../machine/machine.ts';
import { WrappedMachine } from './wrapped-machine.ts';

export class BoundedMachine extends WrappedMachine {
  readonly #limit: bigint;

  constructor(machine: Machine, limit: bigint) {
    super(machine);
    this.#limit = limit;
  }

  run(until: bigint, endsAt?: EndsAt): Stop {
    const stop = this.machine.run(until < this.#limit ? until : this.#limit, endsAt);
    return this.machine.count >= this.#limit ? 'off' : stop;
  }
}
