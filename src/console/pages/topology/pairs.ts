/** Who protects whom, host by host. Pure. */
import type { HostView, VmView } from '../../../api/views.ts';
import { protectionOf } from '../../live/health.ts';

/** VMs whose primary is on one host and whose shadow is on another one. */
export interface Pair {
  readonly id: string;
  readonly primary: string;
  readonly shadow: string;
  /** Protected, by name. */
  readonly running: readonly string[];
  /** Their shadow has not caught up yet. */
  readonly starting: readonly string[];
}

export interface Node {
  readonly host: HostView;
  readonly primaries: number;
  readonly shadows: number;
  /** Run here and have no shadow, though they should. */
  readonly degraded: readonly string[];
  /** Run here, and nobody asked for protection. */
  readonly unprotected: readonly string[];
}

export interface Topology {
  readonly nodes: readonly Node[];
  readonly gateways: readonly HostView[];
  /** In the order of the hosts. */
  readonly pairs: readonly Pair[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function topologyOf(hosts: readonly HostView[], vms: readonly VmView[]): Topology {
  const nodes = new Map(
    hosts
      .filter(({ kind }) => kind === 'host')
      .map((host): [string, Mutable<Node>] => [
        host.name,
        { host, primaries: 0, shadows: 0, degraded: [], unprotected: [] },
      ]),
  );
  const pairs = new Map<string, Mutable<Pair>>();
  for (const vm of vms) {
    const { primary, shadow, state } = vm.ft;
    const here = primary === null ? undefined : nodes.get(primary.host);
    if (primary === null || here === undefined) continue;
    here.primaries += 1;
    if (shadow === null) {
      const protection = protectionOf(vm);
      if (protection === 'degraded') here.degraded = [...here.degraded, vm.name];
      if (protection === 'unprotected') here.unprotected = [...here.unprotected, vm.name];
      continue;
    }
    const there = nodes.get(shadow.host);
    if (there === undefined) continue;
    there.shadows += 1;
    const id = `${primary.host}>${shadow.host}`;
    const pair = pairs.get(id) ?? {
      ...{ id, primary: primary.host, shadow: shadow.host, running: [], starting: [] },
    };
    if (state === 'running') pair.running = [...pair.running, vm.name];
    else pair.starting = [...pair.starting, vm.name];
    pairs.set(id, pair);
  }
  const order = [...nodes.keys()];
  const place = ({ primary, shadow }: Pair) =>
    order.indexOf(primary) * order.length + order.indexOf(shadow);
  return {
    nodes: [...nodes.values()],
    gateways: hosts.filter(({ kind }) => kind === 'gateway'),
    pairs: [...pairs.values()].sort((a, b) => place(a) - place(b)),
  };
}

/** `web, cache and 3 more`. */
export function nameSome(names: readonly string[], max = 6): string {
  if (names.length <= max) return names.join(', ');
  return `${names.slice(0, max).join(', ')} and ${names.length - max} more`;
}
