/**
 * For tests: hosts at the wire (cluster.fixture.ts) that do what they are told, as a real host's VM
 * processes would, in an instant: they start copies, pair them at the real arbiter, hand over, part.
 */
import type { CenterMessage, VmStatus } from '../api/agent.ts';
import type { TestCenter, TestHost } from './cluster.fixture.ts';

const lookMs = 2;

export class ActingHosts {
  readonly #hosts: readonly TestHost[];
  readonly #timer: NodeJS.Timeout;
  /** Orders that were carried out, `HOST: kind`. */
  readonly done: string[] = [];
  /** Orders of these kinds are not carried out. */
  readonly deaf = new Set<CenterMessage['kind']>();
  /** By VM: whom its primary expects, and whom the arbiter knows. */
  readonly #expected = new Map<string, string | undefined>();
  #looking: Promise<void> | undefined;
  failure: unknown;

  private constructor(hosts: readonly TestHost[]) {
    this.#hosts = hosts;
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    }, lookMs);
  }

  static async start(center: TestCenter, ...names: string[]): Promise<ActingHosts> {
    const hosts: TestHost[] = [];
    for (const name of names) hosts.push(await center.host(name));
    return new ActingHosts(hosts);
  }

  get(name: string): TestHost {
    return this.#hosts.find((host) => host.name === name)!;
  }

  /** Names of the hosts on which a copy of this VM runs. */
  where(vm: string): string[] {
    return this.#hosts.filter((host) => host.copies.has(vm)).map(({ name }) => name);
  }

  /** Resolves when nothing is asked of the center any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      for (const host of this.#hosts) {
        for (const message of host.heard.splice(0)) await this.#obey(host, message);
      }
    } catch (error) {
      this.failure = error;
    }
  }

  async #obey(host: TestHost, message: CenterMessage): Promise<void> {
    if (this.deaf.has(message.kind)) return;
    const orders = [
      'start',
      'startShadow',
      'protect',
      'handOver',
      'dismiss',
      'stop',
      'removeReplica',
      'watchdog',
    ];
    if (!orders.includes(message.kind) || !('vm' in message)) return;
    this.done.push(`${host.name}: ${message.kind}`);
    const vm = typeof message.vm === 'string' ? message.vm : message.vm.id;
    const own = host.copies.get(vm);
    switch (message.kind) {
      case 'start': {
        const { fenced, acceptStale } = message;
        await host.ask(vm, { kind: 'start', fenced, acceptStale });
        return this.#live(host, vm, 'needShadow');
      }
      case 'protect':
        this.#expected.set(vm, message.shadowHost);
        if (message.shadowHost !== undefined) return this.#pair(vm);
        await host.ask(vm, { kind: 'goAlone' });
        return this.#live(host, vm, 'disabled');
      case 'startShadow':
        host.report(vm, 'shadow', { ftState: 'notConfigured', residentBytes: 7 });
        return this.#pair(vm);
      case 'handOver': {
        const shadow = this.#copies(vm).find((each) => each !== host);
        if (shadow === undefined || !(await shadow.ask(vm, { kind: 'claim' })).granted) return;
        host.report(vm, 'ended', { ended: { kind: 'handed-over', text: 'taken over' } });
        return this.#live(shadow, vm, 'needShadow');
      }
      case 'dismiss':
        if (own !== undefined) {
          host.report(vm, 'ended', { ended: { kind: 'dismissed', text: 'dismissed' } });
        }
        return;
      case 'watchdog': {
        if (own === undefined) return;
        const { watchdogSeconds: _, ...rest } = own;
        const { seconds } = message;
        const watched = seconds === undefined ? {} : { watchdogSeconds: seconds };
        return host.report(vm, own.role, { ...rest, ...watched });
      }
      case 'stop': {
        const currentReplicas = this.#copies(vm).map(({ id }) => id);
        await host.ask(vm, { kind: 'stop', state: 'stopped', currentReplicas });
        return host.report(vm, 'ended', { ended: { kind: 'off', text: 'off' } });
      }
    }
  }

  #copies(vm: string): TestHost[] {
    return this.#hosts.filter((host) => host.copies.has(vm));
  }

  #live(host: TestHost, vm: string, ftState: string, changes: Partial<VmStatus> = {}): void {
    host.report(vm, 'live', { generation: 99, ftState, ...changes });
  }

  /** When the primary expects the shadow that is there, both are a pair. */
  async #pair(vm: string): Promise<void> {
    const copies = this.#copies(vm);
    const primary = copies.find((host) => host.copies.get(vm)!.role === 'live');
    const shadow = copies.find((host) => host.copies.get(vm)!.role === 'shadow');
    if (primary === undefined || shadow === undefined) return;
    if (this.#expected.get(vm) !== shadow.id) return;
    const member = { host: shadow.id, process: shadow.process(vm) };
    this.#live(primary, vm, 'starting', { shadowHost: shadow.id });
    await primary.ask(vm, { kind: 'makeEligible', shadow: member });
    this.#live(primary, vm, 'running', { shadowHost: shadow.id });
  }
}
