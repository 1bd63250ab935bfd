/**
 * Which host takes a copy: the one with the most free memory among those that may. Pure.
 *
 * A host may take a copy if it is connected, not in maintenance, has the memory and reaches the
 * datastore of the VM's disks, if they are on one; for a protected
 * copy also if it is within the limits per host (FACTS 3: both copies count; 0 = no limit).
 */
export interface HostState {
  readonly id: string;
  readonly name: string;
  readonly connected: boolean;
  readonly maintenance: boolean;
  readonly memoryBytes: number;
  /** What it speaks (api/agent.ts). */
  readonly protocol?: number;
  /** Storage that it reaches, as its last hello said. */
  readonly datastores?: readonly DatastoreId[];
  /** What is set aside for copies of all other VMs. */
  readonly load: Load;
}

/** The same storage only if both are the same. */
export interface DatastoreId {
  readonly name: string;
  readonly id: string;
}

export interface Load {
  readonly memoryBytes: number;
  /** Protected copies, and their virtual CPUs. */
  readonly ftVms: number;
  readonly ftCpus: number;
}

/** Hosts on which a copy has failed lately, and until when they are avoided, in milliseconds. */
export type Avoided = ReadonlyMap<string, number>;

export interface Limits {
  readonly ftVmsMax: number;
  readonly ftCpusMax: number;
}

export interface Need {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly protected: boolean;
  /** Where its disks are, if not on its hosts. */
  readonly datastore?: DatastoreId | undefined;
  /** Its address may be another one's: no host may connect it. */
  readonly isolated?: boolean | undefined;
}

/** Of the agents' protocol. */
const isolatedSince = 4;

export const freeMemory = (host: HostState): number => host.memoryBytes - host.load.memoryBytes;

/** Why this host may not take the copy, in words; undefined if it may. */
export function obstacle(host: HostState, need: Need, limits: Limits): string | undefined {
  return obstacles(host, need, limits)[0];
}

/** Every reason at once. */
export function obstacles(host: HostState, need: Need, limits: Limits): string[] {
  const found: string[] = [];
  if (!host.connected) found.push(`${host.name} is not responding`);
  if (host.maintenance) found.push(`${host.name} is in maintenance`);
  const storage = need.datastore && storageMissing(host, need.datastore);
  if (storage !== undefined) found.push(storage);
  if (need.isolated && (host.protocol ?? isolatedSince) < isolatedSince) {
    found.push(`${host.name} is of a release that would connect it to its network`);
  }
  if (freeMemory(host) < need.memoryBytes) {
    found.push(`${host.name} has ${mebibytes(Math.max(0, freeMemory(host)))} of memory free`);
  }
  return need.protected ? [...found, ...overLimits(host, need, limits)] : found;
}

function storageMissing({ name, datastores = [] }: HostState, wanted: DatastoreId) {
  if (datastores.some(({ id }) => id === wanted.id)) return undefined;
  const isOther = datastores.some((each) => each.name === wanted.name);
  return isOther
    ? `what ${name} has as datastore ${wanted.name} is other storage`
    : `${name} has no datastore ${wanted.name}`;
}

/** The limits alone, for the host on which the primary runs already. */
export function overLimits(host: HostState, need: Need, limits: Limits): string[] {
  const { ftVmsMax, ftCpusMax } = limits;
  const found: string[] = [];
  if (ftVmsMax > 0 && host.load.ftVms + 1 > ftVmsMax) {
    found.push(`${host.name} has ${host.load.ftVms} protected copies, the most it may have`);
  }
  if (ftCpusMax > 0 && host.load.ftCpus + need.cpus > ftCpusMax) {
    found.push(`${host.name} has ${host.load.ftCpus} of at most ${ftCpusMax} protected CPUs`);
  }
  return found;
}

/**
 * The best host, or for each candidate why not. Hosts to avoid are taken only for want of others,
 * and of those the one that has been to be avoided for longest.
 */
export function choose(
  candidates: readonly HostState[],
  need: Need,
  limits: Limits,
  avoid: Avoided = new Map(),
): { readonly host: HostState } | { readonly host: undefined; readonly why: string } {
  const able = candidates.filter((host) => obstacle(host, need, limits) === undefined);
  const rank = (host: HostState) => avoid.get(host.id) ?? 0;
  const [best] = able.sort(
    (a, b) => rank(a) - rank(b) || freeMemory(b) - freeMemory(a) || (a.name < b.name ? -1 : 1),
  );
  if (best !== undefined) return { host: best };
  const reasons = candidates.map((host) => obstacle(host, need, limits)).join('; ');
  return { host: undefined, why: reasons === '' ? 'there is no other host' : reasons };
}

export const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
