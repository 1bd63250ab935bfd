/**
 * Wires: datagrams that are lost, doubled and overtake each other; connections that keep their order
 * like TCP, stall while a wire is cut, and are reset.
 */
import type { Channel, Link } from '../lockstep/ports.ts';
import type { Scheduler } from './scheduler.ts';

/** Who has one end of a connection; deliveries go through its own queue. */
export interface Endpoint {
  readonly host: string;
  readonly name: string;
  readonly alive: boolean;
  /** Calls when the process is able to: not while it computes, is paused, or dead. */
  deliver(act: () => void): void;
  now(): number;
}

export class Network {
  readonly scheduler: Scheduler;
  readonly connections: Connection[] = [];
  readonly #cuts = new Map<string, number>();
  lossOfDatagrams = 0;
  tamper: Tamper | undefined;

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler;
  }

  cut(a: string, b: string): void {
    this.#cuts.set(pair(a, b), (this.#cuts.get(pair(a, b)) ?? 0) + 1);
  }

  heal(a: string, b: string): void {
    this.#cuts.set(pair(a, b), Math.max(0, (this.#cuts.get(pair(a, b)) ?? 0) - 1));
  }

  reaches(a: string, b: string): boolean {
    return (this.#cuts.get(pair(a, b)) ?? 0) === 0;
  }

  delay(): number {
    const { random } = this.scheduler;
    return random.chance(0.02) ? random.between(1000, 20_000) : random.between(20, 300);
  }

  /** At most sometimes twice, sometimes not at all, never in order. */
  datagram(from: string, to: string, sentAt: number, act: () => void): void {
    const { random } = this.scheduler;
    const copies = random.chance(this.lossOfDatagrams) ? 0 : random.chance(0.02) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      this.scheduler.at(sentAt + this.delay(), () => {
        if (this.reaches(from, to)) act();
      });
    }
  }

  connect(a: Endpoint, b: Endpoint): Connection {
    const connection = new Connection(this, a, b);
    this.connections.push(connection);
    return connection;
  }
}

function pair(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}

type Segment = { readonly bytes: Uint8Array | undefined; readonly at: number };

/** May look at, change, swallow or add messages: for tests that break a rule on purpose. */
export type Tamper = (bytes: Uint8Array, from: End) => Uint8Array | undefined;

export class Connection {
  readonly ends: readonly [End, End];

  constructor(network: Network, a: Endpoint, b: Endpoint) {
    const first = new End(network, a);
    const second = new End(network, b);
    first.other = second;
    second.other = first;
    this.ends = [first, second];
  }

  get open(): boolean {
    return this.ends[0].open && this.ends[1].open;
  }

  /** Both sides learn of it, each when it does. */
  reset(): void {
    for (const end of this.ends) end.reset();
  }
}

export class End implements Link {
  readonly owner: Endpoint;
  readonly #network: Network;
  other!: End;
  channel: Channel | undefined;
  open = true;
  #queue: Segment[] = [];
  #pumping = false;
  #lastAt = 0;

  constructor(network: Network, owner: Endpoint) {
    this.#network = network;
    this.owner = owner;
  }

  send(message: Uint8Array): void {
    if (!this.open) return;
    const { tamper } = this.#network;
    const bytes = tamper === undefined ? message : tamper(message, this);
    if (bytes !== undefined) this.push(bytes);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.push(undefined);
  }

  /** The owner's process has ended; its kernel closes, unless the whole host is gone. */
  abandon(silent: boolean): void {
    if (!silent) this.close();
    this.open = false;
    if (silent) this.#queue = [];
  }

  reset(): void {
    if (!this.open) return;
    this.open = false;
    this.#queue = [];
    this.#network.scheduler.after(this.#network.delay(), () => this.#notifyClosed());
  }

  push(bytes: Uint8Array | undefined): void {
    this.#lastAt = Math.max(this.#lastAt, this.owner.now() + this.#network.delay());
    this.#queue.push({ bytes, at: this.#lastAt });
    this.#pump();
  }

  #pump(): void {
    const segment = this.#queue[0];
    if (this.#pumping || segment === undefined) return;
    this.#pumping = true;
    this.#network.scheduler.at(segment.at, () => {
      this.#pumping = false;
      if (this.#queue[0] !== segment) return this.#pump();
      if (!this.#network.reaches(this.owner.host, this.other.owner.host)) {
        this.#queue[0] = { ...segment, at: this.#network.scheduler.now + 20_000 };
        return this.#pump();
      }
      this.#queue.shift();
      this.#arrive(segment);
      this.#pump();
    });
  }

  #arrive({ bytes }: Segment): void {
    const { other } = this;
    if (!other.open) return;
    if (bytes === undefined) {
      other.open = false;
      return other.#notifyClosed();
    }
    other.owner.deliver(() => other.channel?.receive(bytes));
  }

  #notifyClosed(): void {
    this.owner.deliver(() => this.channel?.closed());
  }
}
