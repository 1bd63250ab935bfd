/** A machine that is taken for switched off at a given count: `--max-instructions`. */
import type { Input } from '../../machine/effects.ts';
import type { Checkpoint, Machine, Stop } from '../../machine/machine.ts';

export class BoundedMachine implements Machine {
  readonly #machine: Machine;
  readonly #limit: bigint;

  constructor(machine: Machine, limit: bigint) {
    this.#machine = machine;
    this.#limit = limit;
  }

  run(until: bigint): Stop {
    const stop = this.#machine.run(until < this.#limit ? until : this.#limit);
    return this.#machine.count >= this.#limit ? 'off' : stop;
  }

  get count(): bigint {
    return this.#machine.count;
  }
  get time() {
    return this.#machine.time;
  }
  get wakeTime() {
    return this.#machine.wakeTime;
  }
  apply(input: Input): void {
    this.#machine.apply(input);
  }
  takeOutputs() {
    return this.#machine.takeOutputs();
  }
  pendingDiskRequests() {
    return this.#machine.pendingDiskRequests();
  }
  fingerprint(): bigint {
    return this.#machine.fingerprint();
  }
  checkpoint(): Checkpoint {
    return this.#machine.checkpoint();
  }
}
