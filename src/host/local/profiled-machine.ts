/**
 * A machine that is looked at while it runs: `--profile`. Runs are cut into short ones, of about 50
 * us, behind each of which its place in the program is a sample. Where runs are cut is invisible to
 * the guest.
 *
 * Samples are drawn by counts alone, across waits and the ends of runs: otherwise a guest that
 * always works for a shorter time would always be seen where it begins to wait. The distance varies
 * at random, so that no loop keeps in step with it.
 */
import { SliceLength } from '../../lockstep/slices.ts';
import type { EndsAt, Stop } from '../../machine/machine.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';
import type { Profile } from './profile.ts';
import { WrappedMachine } from './wrapped-machine.ts';

const sampleMicros = 50;

export class ProfiledMachine extends WrappedMachine<RiscvMachine> {
  readonly #profile: Profile;
  readonly #length = new SliceLength(sampleMicros);
  #lastSample: bigint;
  #nextSample: bigint;

  constructor(machine: RiscvMachine, profile: Profile) {
    super(machine);
    this.#profile = profile;
    this.#lastSample = machine.count;
    this.#nextSample = machine.count + this.#distance();
  }

  run(until: bigint, endsAt?: EndsAt): Stop {
    this.#profile.runBegins();
    let stop: Stop;
    do {
      stop = this.machine.run(until < this.#nextSample ? until : this.#nextSample, endsAt);
      if (this.machine.count >= this.#nextSample) this.#sample();
    } while (stop === 'budget' && this.machine.count < until);
    this.#profile.runEnds();
    return stop;
  }

  #sample(): void {
    const { count, position } = this.machine;
    this.#length.ran(count - this.#lastSample, this.#profile.sample(position));
    this.#lastSample = count;
    this.#nextSample = count + this.#distance();
  }

  #distance(): bigint {
    return BigInt(Math.round(Number(this.#length.counts) * (0.5 + Math.random())));
  }
}
