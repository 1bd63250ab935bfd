/**
 * UDP through the gateway: each pair of a guest's port and a remote one is a flow, with a socket of
 * the host behind it. Idle flows end (RFC 4787: after minutes; a DNS query after seconds), and the
 * flow that was idle longest makes room for a new one.
 */
import type { Ipv4 } from '../wire.ts';
import { FourTuples } from './four-tuples.ts';
import type { Neighbour } from './neighbours.ts';
import type { FlowId } from './ports.ts';

const IDLE_US = 120_000_000;
const DNS_IDLE_US = 10_000_000;

export interface Flow {
  readonly id: FlowId;
  readonly guest: Neighbour;
  readonly guestPort: number;
  /** As the guest sees the other side. */
  readonly remote: Ipv4;
  readonly remotePort: number;
  /** As the host reaches it. */
  readonly address: Ipv4;
  readonly port: number;
  usedAt: number;
}

export class UdpFlows {
  readonly #flowsMax: number;
  readonly #closed: (id: FlowId) => void;
  readonly #tuples = new FourTuples<Flow>();
  /** In the order of their last use, so that the first is the one idle longest. */
  readonly #byId = new Map<FlowId, Flow>();
  #nextId: FlowId = 1;

  constructor(flowsMax: number, closed: (id: FlowId) => void) {
    this.#flowsMax = flowsMax;
    this.#closed = closed;
  }

  get size(): number {
    return this.#byId.size;
  }

  find(guest: Neighbour, guestPort: number, remote: Ipv4, remotePort: number): Flow | undefined {
    return this.#tuples.get(guest.address, guestPort, remote, remotePort);
  }

  byId(id: FlowId): Flow | undefined {
    return this.#byId.get(id);
  }

  add(flow: Omit<Flow, 'id' | 'usedAt'>, now: number): Flow {
    if (this.#byId.size >= this.#flowsMax) {
      const [oldest] = this.#byId.values();
      if (oldest !== undefined) this.#close(oldest);
    }
    const added = { ...flow, id: this.#nextId++, usedAt: now };
    this.#byId.set(added.id, added);
    this.#tuples.set(flow.guest.address, flow.guestPort, flow.remote, flow.remotePort, added);
    return added;
  }

  use(flow: Flow, now: number): void {
    flow.usedAt = now;
    this.#byId.delete(flow.id);
    this.#byId.set(flow.id, flow);
  }

  expire(now: number): void {
    for (const flow of this.#byId.values()) {
      const idle = now - flow.usedAt;
      if (idle > IDLE_US || (flow.remotePort === 53 && idle > DNS_IDLE_US)) this.#close(flow);
    }
  }

  forgetGuest(guest: Neighbour): void {
    for (const flow of this.#byId.values()) if (flow.guest === guest) this.#close(flow);
  }

  #close(flow: Flow): void {
    this.#byId.delete(flow.id);
    this.#tuples.delete(flow.guest.address, flow.guestPort, flow.remote, flow.remotePort);
    this.#closed(flow.id);
  }
}
