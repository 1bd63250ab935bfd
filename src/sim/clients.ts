/**
 * The world outside: clients that ask one thing at a time and ask again when no answer comes, as TCP
 * does. Each answer it accepts is one step of work that must never be lost.
 */
import type { Cluster } from './cluster.ts';
import { decodeAnswer, encodeRequest } from './toy-machine.ts';

export class Clients {
  readonly #cluster: Cluster;
  readonly #sequence: number[];
  /** Answers accepted, by client. */
  readonly answered: number[];
  stopped = false;

  constructor(cluster: Cluster, clients: number) {
    this.#cluster = cluster;
    this.#sequence = Array.from({ length: clients }, () => 1);
    this.answered = Array.from({ length: clients }, () => 0);
    cluster.onFrame = (_from, frame) => this.#receive(frame);
    for (let client = 0; client < clients; client++) this.#ask(client, 1);
  }

  #ask(client: number, sequence: number): void {
    if (this.stopped || this.#sequence[client] !== sequence) return;
    const { scheduler, network } = this.#cluster;
    const { random } = scheduler;
    // A stale switch may still deliver to a copy that was succeeded.
    const targets = this.#cluster.processes.filter(
      (process) => process === this.#cluster.route || (process.alive && random.chance(0.05)),
    );
    for (const process of targets) {
      network.datagram('world', process.host, scheduler.now, () => {
        process.deliver(() => process.copy.frame(0, encodeRequest({ client, sequence })));
      });
    }
    scheduler.after(random.between(150_000, 300_000), () => this.#ask(client, sequence));
  }

  #receive(frame: Uint8Array): void {
    const { client, sequence, verdict } = decodeAnswer(frame);
    if (verdict !== 'done' || sequence !== this.#sequence[client]) return;
    this.answered[client]!++;
    this.#sequence[client] = sequence + 1;
    const { scheduler } = this.#cluster;
    scheduler.after(scheduler.random.between(100, 60_000), () => this.#ask(client, sequence + 1));
  }
}
