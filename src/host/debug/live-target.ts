/**
 * A live VM of this process under a debugger: it stands still while the debugger looks, and so does
 * its clock; what arrives from the network meanwhile waits. Forwards only. Memory and registers can
 * be changed unless the VM is recorded: a change is no input, so a replay would not have it.
 *
 * A watchpoint stops behind the access. GDB takes it that those of RISC-V stop ahead of it and steps
 * once more; so it shows a live VM one instruction further, as QEMU's stub does.
 */
import type { DebugTarget, Resume, Stopped } from '../../debug/gdb/target.ts';
import { noTraps } from '../../machine/debug-traps.ts';
import type { RiscvMachine } from '../../machine/riscv-machine.ts';
import type { LocalVm } from '../local/local-vm.ts';

const help = `a live VM: it goes forwards only
monitor physical on|off   what addresses mean when memory is read
`;

export class LiveTarget implements DebugTarget {
  readonly canGoBack = false;
  readonly canChange: boolean;
  readonly machine: RiscvMachine;
  readonly #vm: LocalVm;
  #stopped: ((stopped: Stopped) => void) | undefined;
  #stepHart: number | undefined;
  #interrupted = false;
  #off = false;

  constructor(vm: LocalVm, recorded: boolean) {
    this.#vm = vm;
    this.machine = vm.inner;
    this.canChange = !recorded;
    vm.afterStep = () => this.#afterStep();
    void vm.ended.then(() => {
      this.#off = true;
      this.#stop({ kind: 'off' });
    });
  }

  resume({ stepHart, traps }: Resume): Promise<Stopped> {
    if (this.#off) return Promise.resolve({ kind: 'off' });
    this.#stepHart = stepHart;
    this.#interrupted = false;
    this.machine.setTraps(stepHart === undefined ? traps : noTraps);
    this.machine.passBreakpoint();
    this.machine.stepHart = stepHart;
    const { promise, resolve } = Promise.withResolvers<Stopped>();
    this.#stopped = resolve;
    this.#vm.goOn();
    return promise;
  }

  interrupt(): void {
    this.#interrupted = true;
    // One that waits for a timer or for the network takes no step by itself.
    if (this.#stopped !== undefined) setImmediate(() => this.#afterStep());
  }

  /** The VM goes on by itself. */
  detached(): void {
    this.machine.setTraps(noTraps);
    this.machine.stepHart = undefined;
    this.#stopped = undefined;
    this.#vm.goOn();
  }

  async monitor(): Promise<string> {
    return help;
  }

  #afterStep(): void {
    if (this.#stopped === undefined) return;
    const { machine } = this;
    if (this.#stepHart !== undefined && machine.hartStepped) this.#stop({ kind: 'stepped' });
    else if (machine.trap !== undefined) this.#stop({ kind: 'trap', trap: machine.trap });
    else if (this.#interrupted) this.#stop({ kind: 'interrupted' });
  }

  #stop(stopped: Stopped): void {
    const resolve = this.#stopped;
    if (resolve === undefined) return;
    this.#stopped = undefined;
    this.machine.stepHart = undefined;
    this.#vm.halt();
    resolve(stopped);
  }
}
