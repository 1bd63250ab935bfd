/** A machine around another one: everything is the inner one's, but how it runs. */
import type { Input } from '../../machine/effects.ts';
import type { Checkpoint, CheckpointSeries, EndsAt, Machine, Stop } from '../../machine/machine.ts';

export abstract class WrappedMachine<Inner extends Machine = Machine> implements Machine {
  protected readonly machine: Inner;

  constructor(machine: Inner) {
    this.machine = machine;
  }

  abstract run(until: bigint, endsAt?: EndsAt): Stop;

  get count(): bigint {
    return this.machine.count;
  }
  get time() {
    return this.machine.time;
  }
  get wakeTime() {
    return this.machine.wakeTime;
  }
  get unservedTimer() {
    return this.machine.unservedTimer;
  }
  takesSegments(port: number): boolean {
    return this.machine.takesSegments(port);
  }
  apply(input: Input): void {
    this.machine.apply(input);
  }
  takeOutputs() {
    return this.machine.takeOutputs();
  }
  pendingDiskRequests() {
    return this.machine.pendingDiskRequests();
  }

  awaitsDiskRequest(disk: number, request: number) {
    return this.machine.awaitsDiskRequest(disk, request);
  }
  fingerprint(): bigint {
    return this.machine.fingerprint();
  }
  checkpoint(): Checkpoint {
    return this.machine.checkpoint();
  }
  checkpointSeries(): CheckpointSeries {
    return this.machine.checkpointSeries();
  }
}
