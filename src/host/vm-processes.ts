/**
 * The VM processes of this host: at most one for each VM.
 *
 * The center may repeat its orders: a start that asks for what is already so only repeats the
 * status. A start while an older copy is still on its way out waits until it is gone. The status of
 * a copy that has ended is kept until it is dismissed or replaced, so that a center that comes back
 * learns how it ended.
 */
import type { DaemonMessage, VmSpec, VmStatus } from '../api/agent.ts';
import type { Standing } from './trust.ts';
import type { ToVm } from './vm/protocol.ts';
import { type SlotOwner, type VmRole, VmSlot } from './vm-slot.ts';

export type VmProcessesOptions = Pick<SlotOwner, 'prepare' | 'tell' | 'program' | 'node'>;

interface Start {
  readonly spec: VmSpec;
  readonly role: VmRole;
}

export class VmProcesses {
  readonly #options: VmProcessesOptions;
  readonly #slots = new Map<string, VmSlot>();
  /** What follows when the process that is there has gone. */
  readonly #next = new Map<string, Start>();
  readonly #trunks = new Map<string, boolean>();
  #standing: Standing | undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(options: VmProcessesOptions) {
    this.#options = options;
  }

  statuses(): VmStatus[] {
    return [...this.#slots.values()].map((slot) => slot.status);
  }

  /** How many processes there are, or are about to be. */
  get running(): number {
    return [...this.#slots.values()].filter((slot) => !slot.vacant).length;
  }

  /** Whether a process of the VM is here, or about to be. */
  isOccupied(vm: string): boolean {
    return this.#slots.get(vm)?.vacant === false || this.#next.has(vm);
  }

  isRecording(vm: string, id: string): boolean {
    const slot = this.#slots.get(vm);
    if (slot === undefined || slot.vacant) return false;
    return slot.status.recordings?.some((one) => one.id === id) === true;
  }

  start(spec: VmSpec, role: VmRole): void {
    const slot = this.#slots.get(spec.id);
    if (slot === undefined || slot.vacant) return this.#launch({ spec, role });
    switch (slot.status.role) {
      case 'ended':
        this.#next.set(spec.id, { spec, role });
        return;
      case 'live':
        if (role.kind === 'shadow') return this.#refuse(spec.id, 'startShadow', 'vm-live', 'live');
        break;
      case 'shadow':
        if (role.kind === 'live') return this.#refuse(spec.id, 'start', 'vm-shadow', 'a shadow');
        if (!sameShadow(slot.role, role)) return this.#replace(slot, { spec, role });
        break;
      case 'starting':
        if (slot.role.kind !== role.kind) return this.#replace(slot, { spec, role });
        if (role.kind === 'shadow' && !sameShadow(slot.role, role)) {
          return this.#replace(slot, { spec, role });
        }
        break;
    }
    this.#options.tell({ kind: 'status', vms: [slot.status] });
  }

  /** An order for the process of a VM; `dismiss` of one that is not there is done already. */
  order(vm: string, message: ToVm): void {
    const slot = this.#slots.get(vm);
    if (message.kind === 'dismiss') {
      this.#next.delete(vm);
      if (slot?.vacant) this.#slots.delete(vm);
    }
    if (slot !== undefined && !slot.vacant) slot.order(message);
    else if (message.kind !== 'dismiss') {
      this.#failed(vm, message.kind, 'vm-not-here', 'The VM does not run on this host.');
    }
  }

  /** The VM is deleted. @returns once nothing of it runs here */
  async forget(vm: string): Promise<void> {
    this.order(vm, { kind: 'dismiss' });
    while (this.#slots.get(vm)?.vacant === false) await this.#change();
    this.#slots.delete(vm);
  }

  /** The files of this host's credentials have changed. */
  renewed(): void {
    for (const slot of this.#slots.values()) slot.order({ kind: 'renewed' });
  }

  standing(standing: Standing): void {
    this.#standing = standing;
    for (const slot of this.#slots.values()) slot.order({ kind: 'standing', standing });
  }

  /** To a center that may be another one. */
  sayConsoles(): void {
    for (const slot of this.#slots.values()) slot.sayConsole();
  }

  /** The arbiter answers there from now on. */
  arbiters(urls: readonly string[]): void {
    for (const slot of this.#slots.values()) slot.order({ kind: 'arbiters', urls });
  }

  trunk(host: string, up: boolean): void {
    this.#trunks.set(host, up);
    for (const slot of this.#slots.values()) slot.order({ kind: 'trunk', host, up });
  }

  /** Ends all processes and waits until the last one is gone. */
  async close(): Promise<void> {
    this.#next.clear();
    for (const slot of this.#slots.values()) slot.end();
    while (this.running > 0) await this.#change();
  }

  /** Until the next process has gone. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #launch({ spec, role }: Start): void {
    const slot = new VmSlot(spec, role, {
      ...this.#options,
      vacated: (gone) => {
        const next = this.#next.get(spec.id);
        this.#next.delete(spec.id);
        if (next !== undefined && this.#slots.get(spec.id) === gone) this.#launch(next);
        for (const resolve of this.#waiting.splice(0)) resolve();
      },
    });
    this.#slots.set(spec.id, slot);
    if (this.#standing !== undefined) slot.order({ kind: 'standing', standing: this.#standing });
    for (const [host, up] of this.#trunks) slot.order({ kind: 'trunk', host, up });
    this.#options.tell({ kind: 'status', vms: [slot.status] });
  }

  #replace(slot: VmSlot, next: Start): void {
    this.#next.set(slot.spec.id, next);
    slot.order({ kind: 'dismiss' });
  }

  #refuse(vm: string, command: string, code: string, what: string): void {
    this.#failed(vm, command, code, `The copy of the VM on this host is ${what} already.`);
  }

  #failed(vm: string, command: string, code: string, message: string): void {
    const remedy = 'Nothing is to be done; the center looks again at what runs where.';
    const failed: DaemonMessage = { kind: 'failed', vm, command, code, message, remedy };
    this.#options.tell(failed);
  }
}

function sameShadow(a: VmRole, b: VmRole): boolean {
  return (
    a.kind === 'shadow' &&
    b.kind === 'shadow' &&
    a.primaryHost === b.primaryHost &&
    a.address === b.address &&
    a.port === b.port
  );
}
