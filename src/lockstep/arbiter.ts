/**
 * The arbiter: decides which copy of a machine is live. Here as a pure function on one record; the
 * center keeps the records (SQLite, etcd), the simulator keeps them in a Map.
 *
 * Every change of who is live or who may go live compares epoch and generation and takes the next
 * generation, atomically. An ask is idempotent by its `claimId`: whoever lost a reply asks the very
 * same again. Invariant: `eligibleShadow` is set only while the live copy's output gate is closed,
 * so whoever is eligible has everything that the world was told.
 *
 *   start: stopped|suspended -> live        makeEligible: + eligibleShadow
 *   goAlone: - eligibleShadow               claim: live := eligibleShadow
 *   stop: live -> stopped|suspended         revert: stopped|suspended -> suspended
 *
 * Who suspends a machine, or reverts it to a snapshot, leaves a *saved state* on one host, and the
 * record names it. Nobody starts past a named state without saying so: it is continued, on its host,
 * or discarded by an explicit word (docs/decisions/vm-state.md).
 *
 * Disks may be shared instead of replicated. Then a live copy without a shadow may hold a *lease*: it
 * releases nothing behind its end, so somebody who has waited for that may start the machine
 * elsewhere although the copy's host is lost (lease.ts, docs/decisions/ha.md).
 *
 * A store that is new or restored from a backup may have forgotten generations. It begins a new
 * epoch, and each record refuses every change until all hosts that may know better have registered
 * what they durably know. To register in an epoch is a promise to act on no grant of an older one,
 * which may still be on its way (docs/decisions/arbiter.md).
 */
import { assert } from '../base/assert.ts';

/** One process on one host. A host's next process for the same machine is another member. */
export interface Member {
  readonly host: string;
  readonly process: string;
}

export interface VmRecord {
  readonly epoch: number;
  readonly generation: number;
  readonly state: 'live' | 'stopped' | 'suspended';
  readonly live: Member | undefined;
  readonly eligibleShadow: Member | undefined;
  /** Hosts whose disk replicas hold everything that the world was told. */
  readonly currentReplicas: readonly string[];
  /**
   * What the next start continues from. It stays named behind such a start until the next change: a
   * copy that died before its first instruction is continued again, if the state is still there.
   */
  readonly saved?: SavedAt | undefined;
  /** Present where disks of the machine are shared; `currentReplicas` has no say of these. */
  readonly shared?: SharedDisks | undefined;
  /** The ask that made this generation. */
  readonly claimId: string;
}

/** A machine's saved state: where it is, and which it is. */
export interface SavedAt {
  readonly host: string;
  readonly id: string;
}

export type Operation =
  /** Cold start. `fenced`: the center knows that the copy that was live has certainly ended. */
  | {
      readonly kind: 'start';
      readonly fenced?: boolean;
      readonly acceptStale?: boolean;
      /** The saved state that the asker has read, whole, and will continue from. */
      readonly restore?: string;
      /** The operator's word: power on although there is a saved state, which is lost. */
      readonly discardState?: boolean;
      /** Of shared disks: the name of those that the asker has made of the present ones. */
      readonly disks?: string | undefined;
      /** Of shared disks: the lease that the copy shall hold from now on; undefined: none. */
      readonly leaseMs?: number | undefined;
      /** `leaseOf` the copy that is put aside, which ended before this was ordered. */
      readonly lapsed?: string | undefined;
    }
  | { readonly kind: 'makeEligible'; readonly shadow: Member }
  | { readonly kind: 'goAlone' }
  /** `disks`: as in `start`. */
  | { readonly kind: 'claim'; readonly disks?: string }
  /** The live copy holds its lease anew, from before it asked; no other generation. */
  | { readonly kind: 'renew' }
  | {
      readonly kind: 'stop';
      readonly state: 'stopped' | 'suspended';
      readonly currentReplicas: readonly string[];
      /** Of a suspended machine: its state, durable on the asker's host, and its disks with it. */
      readonly saved?: string;
    }
  /** The asker's host has a state with disks of its own: the machine is that from now on. */
  | {
      readonly kind: 'revert';
      readonly saved: string;
      readonly fenced?: boolean;
      readonly lapsed?: string | undefined;
    }
  | { readonly kind: 'read' }
  /** After a new epoch: what this host knows, and whom it may have asked to make eligible. */
  | { readonly kind: 'register'; readonly known: VmRecord; readonly intent: Member | undefined };

export interface Ask {
  readonly vm: string;
  readonly member: Member;
  readonly epoch: number;
  readonly generation: number;
  readonly claimId: string;
  readonly operation: Operation;
}

export type Refusal =
  | 'unknown-vm'
  /** The arbiter's store is new or restored; register, then ask in the new epoch. */
  | 'recovering'
  | 'epoch'
  /** Somebody else changed the record first. */
  | 'generation'
  | 'not-live'
  | 'not-eligible'
  | 'already-live'
  | 'stale-replica'
  /** There is a saved state, and the asker neither continues from it nor discards it. */
  | 'saved-state'
  /** The lease that was thought to have ended has been renewed since. */
  | 'lease-renewed'
  /** Nobody has asked the host for this: said by the center, before the arbiter is asked. */
  | 'not-ordered';

export interface Reply {
  readonly vm: string;
  readonly claimId: string;
  readonly granted: boolean;
  readonly refusal: Refusal | undefined;
  readonly record: VmRecord | undefined;
}

/**
 * Disks on storage that several hosts reach: they are current for each of these, whoever was live.
 * Where they are is named here, and a copy that takes them over takes them under another name
 * (docs/decisions/ha.md), so that nobody reads what an older copy still writes.
 */
export interface SharedDisks {
  /** undefined: there are none yet; whoever starts first makes them. */
  readonly disks?: string | undefined;
  /**
   * Who is live without an eligible shadow holds a lease of so many milliseconds, and releases
   * nothing beyond it. undefined: there is none, and no loss of the live copy's host ends by itself.
   */
  readonly leaseMs?: number | undefined;
  /** Only some of the disks: a cold start needs a current replica of the others. */
  readonly partly?: boolean | undefined;
  /** How often the lease has been renewed since it was given. */
  readonly renewals: number;
}

/** What the arbiter stores for one machine. */
export interface ArbiterEntry {
  readonly record: VmRecord;
  /** Present between a new epoch and the registration of everyone concerned. */
  readonly recovery: Recovery | undefined;
}

interface Recovery {
  /** The epoch in which the record was last certain. */
  readonly since: number;
  /** Hosts that have registered. */
  readonly heard: readonly string[];
  /** Hosts that must register: named by any record or intent heard so far. */
  readonly needed: readonly string[];
}

export function newRecord(
  epoch: number,
  currentReplicas: readonly string[],
  shared?: SharedDisks,
): ArbiterEntry {
  const record: VmRecord = {
    ...(shared !== undefined && { shared }),
    epoch,
    generation: 0,
    state: 'stopped',
    live: undefined,
    eligibleShadow: undefined,
    currentReplicas,
    claimId: '',
  };
  return { record, recovery: undefined };
}

export function sameMember(a: Member | undefined, b: Member | undefined): boolean {
  return a !== undefined && b !== undefined && a.host === b.host && a.process === b.process;
}

/**
 * The lease that the live copy holds, by a name that every grant changes; undefined where there is
 * none: a copy that has an eligible shadow needs none, since that one claims.
 */
export function leaseOf(record: VmRecord): string | undefined {
  const { epoch, generation, state, eligibleShadow, shared } = record;
  if (state !== 'live' || eligibleShadow !== undefined) return undefined;
  return shared?.leaseMs === undefined ? undefined : `${epoch}.${generation}.${shared.renewals}`;
}

/** The hosts on whose replicas a cold start loses nothing that the world was told. */
export function coldStartHosts(record: VmRecord): readonly string[] {
  if (record.state === 'live' && record.live !== undefined) {
    // A shadow's replica is written as it replays, behind the primary's: after a crash of both,
    // only the one that was live certainly holds every acknowledged write.
    return record.currentReplicas.filter((host) => host === record.live!.host);
  }
  return record.currentReplicas;
}

/**
 * One ask. The caller stores `entry` durably before it sends `reply`, both in one transaction.
 */
export function decide(entry: ArbiterEntry, ask: Ask): { entry: ArbiterEntry; reply: Reply } {
  const { operation } = ask;
  if (operation.kind === 'register') return register(entry, ask, operation);
  const { record } = entry;
  if (operation.kind === 'read') {
    return entry.recovery === undefined
      ? answer(entry, ask, undefined)
      : answer(entry, ask, 'recovering');
  }
  if (entry.recovery !== undefined) return answer(entry, ask, 'recovering');
  if (record.claimId === ask.claimId) return answer(entry, ask, undefined);
  if (ask.epoch !== record.epoch) return answer(entry, ask, 'epoch');
  if (ask.generation !== record.generation) return answer(entry, ask, 'generation');
  if (operation.kind === 'renew') return renew(entry, ask);
  const change = changeFor(record, ask.member, operation);
  if (typeof change === 'string') return answer(entry, ask, change);
  const { saved: _, ...rest } = record;
  const next = { ...rest, ...change, generation: record.generation + 1, claimId: ask.claimId };
  return answer({ record: next, recovery: undefined }, ask, undefined);
}

function changeFor(
  record: VmRecord,
  member: Member,
  operation: Exclude<Operation, { kind: 'read' | 'register' | 'renew' }>,
): Partial<VmRecord> | Refusal {
  const live = record.state === 'live' && sameMember(record.live, member);
  const { host } = member;
  switch (operation.kind) {
    case 'start': {
      const why = whyNotFenced(record, operation);
      if (why !== undefined) return why;
      const { saved, shared } = record;
      const isShared = shared !== undefined && shared.partly !== true;
      if (saved !== undefined && operation.discardState !== true) {
        // Behind a start that continued from it the state may be gone: its machine has run on.
        const isHere = saved.host === host || isShared;
        if (!isHere || (record.state !== 'live' && operation.restore !== saved.id)) {
          return 'saved-state';
        }
      }
      const current = isShared || coldStartHosts(record).includes(host);
      if (!current && operation.acceptStale !== true) return 'stale-replica';
      const alone = { eligibleShadow: undefined, currentReplicas: [host] };
      const continues = saved !== undefined && operation.restore === saved.id;
      const { disks = shared?.disks, leaseMs } = operation;
      return {
        ...{ state: 'live', live: member, ...alone, ...(continues && { saved }) },
        ...(shared !== undefined && { shared: { ...shared, disks, leaseMs, renewals: 0 } }),
      };
    }
    case 'makeEligible': {
      if (!live) return 'not-live';
      const { shadow } = operation;
      // Both copies on one host would both be lost with it.
      if (shadow.host === host) return 'not-eligible';
      return { eligibleShadow: shadow, currentReplicas: [host, shadow.host] };
    }
    case 'goAlone':
      if (!live) return 'not-live';
      return { eligibleShadow: undefined, currentReplicas: [host] };
    case 'claim':
      if (record.state !== 'live' || !sameMember(record.eligibleShadow, member)) {
        return 'not-eligible';
      }
      return {
        ...{ live: member, eligibleShadow: undefined, currentReplicas: [host] },
        ...(record.shared !== undefined && {
          shared: { ...record.shared, ...(operation.disks && { disks: operation.disks }) },
        }),
      };
    case 'stop': {
      if (!live) return 'not-live';
      const known = operation.currentReplicas.filter((name) =>
        record.currentReplicas.includes(name),
      );
      return {
        state: operation.state,
        live: undefined,
        eligibleShadow: undefined,
        currentReplicas: known,
        ...(operation.saved !== undefined && { saved: { host, id: operation.saved } }),
      };
    }
    case 'revert': {
      const why = whyNotFenced(record, operation);
      if (why !== undefined) return why;
      return {
        state: 'suspended',
        live: undefined,
        eligibleShadow: undefined,
        currentReplicas: [host],
        saved: { host, id: operation.saved },
      };
    }
  }
}

/** Whether another copy may still be live, which the asker would put aside. */
function whyNotFenced(
  record: VmRecord,
  { fenced, lapsed }: { readonly fenced?: boolean; readonly lapsed?: string | undefined },
): Refusal | undefined {
  if (record.state !== 'live') return undefined;
  if (fenced !== true) return 'already-live';
  // One that has come or gone since is another one, too.
  return leaseOf(record) === lapsed ? undefined : 'lease-renewed';
}

/** The same generation, and a lease of another name: whoever saw the former one end, saw wrongly. */
function renew(entry: ArbiterEntry, ask: Ask): { entry: ArbiterEntry; reply: Reply } {
  const { record } = entry;
  const { shared } = record;
  if (record.state !== 'live' || !sameMember(record.live, ask.member)) {
    return answer(entry, ask, 'not-live');
  }
  if (shared === undefined) return answer(entry, ask, undefined);
  const renewed = { ...record, shared: { ...shared, renewals: shared.renewals + 1 } };
  return answer({ record: renewed, recovery: undefined }, ask, undefined);
}

/**
 * What a store does with every record when it starts empty-handed or from a backup.
 * @param hosts all that there are: any of them may have started what has shared disks since, and
 *   none that the record names need know of it
 */
export function beginEpoch(
  entry: ArbiterEntry,
  epoch: number,
  hosts: readonly string[],
): ArbiterEntry {
  assert(epoch > entry.record.epoch, `epoch ${epoch} after ${entry.record.epoch}`);
  const since = entry.recovery?.since ?? entry.record.epoch;
  const record = { ...entry.record, epoch };
  // A stopped machine too: it may have been started since the backup, on one of these.
  const more = record.shared === undefined ? [] : hosts;
  const needed = [...new Set([...hostsOf(record), ...more])];
  if (needed.length === 0) return { record, recovery: undefined };
  return { record, recovery: { since, heard: [], needed } };
}

/** What a store makes of a machine that it has never heard of, when a host registers it. */
export function adopt(epoch: number, known: VmRecord, hosts: readonly string[]): ArbiterEntry {
  const since = known.epoch;
  return beginEpoch(
    { record: { ...known, epoch: 0 }, recovery: { since, heard: [], needed: [] } },
    epoch,
    hosts,
  );
}

/** Who has still to say what it knows. */
export const unheardOf = ({ recovery }: ArbiterEntry): readonly string[] =>
  recovery?.needed.filter((host) => !recovery.heard.includes(host)) ?? [];

/** The operator's word that a host is gone for good and nothing of it runs any more. */
export function forgetHost(entry: ArbiterEntry, host: string): ArbiterEntry {
  if (entry.recovery === undefined) return entry;
  const heard = [...entry.recovery.heard, host];
  return settled(entry.record, { ...entry.recovery, heard });
}

function register(
  entry: ArbiterEntry,
  ask: Ask,
  operation: Extract<Operation, { kind: 'register' }>,
): { entry: ArbiterEntry; reply: Reply } {
  // A registration for another epoch promises nothing about this one.
  if (ask.epoch !== entry.record.epoch) {
    return answer(entry, ask, entry.recovery === undefined ? 'epoch' : 'recovering');
  }
  if (entry.recovery === undefined) return answer(entry, ask, undefined);
  const { known, intent } = operation;
  const { since } = entry.recovery;
  // What was certain in a later epoch outweighs any generation of an earlier one. This epoch is not
  // certain of anything yet.
  const knownEpoch = known.epoch < entry.record.epoch ? known.epoch : since;
  const newer = known.generation > entry.record.generation;
  const better = knownEpoch > since || (knownEpoch === since && newer);
  const best = better ? known : entry.record;
  const needed = new Set([...entry.recovery.needed, ...hostsOf(known)]);
  if (intent !== undefined) needed.add(intent.host);
  const heard = [...new Set([...entry.recovery.heard, ask.member.host])];
  const record = { ...best, epoch: entry.record.epoch };
  const next = settled(record, {
    since: better ? knownEpoch : since,
    heard,
    needed: [...needed],
  });
  return answer(next, ask, next.recovery === undefined ? undefined : 'recovering');
}

function settled(record: VmRecord, recovery: Recovery): ArbiterEntry {
  const whole = recovery.needed.every((host) => recovery.heard.includes(host));
  return { record, recovery: whole ? undefined : recovery };
}

function hostsOf(record: VmRecord): string[] {
  const hosts = new Set(record.currentReplicas);
  if (record.live !== undefined) hosts.add(record.live.host);
  if (record.saved !== undefined) hosts.add(record.saved.host);
  if (record.eligibleShadow !== undefined) hosts.add(record.eligibleShadow.host);
  return [...hosts];
}

function answer(
  entry: ArbiterEntry,
  ask: Ask,
  refusal: Refusal | undefined,
): { entry: ArbiterEntry; reply: Reply } {
  const { vm, claimId } = ask;
  const reply = { vm, claimId, granted: refusal === undefined, refusal, record: entry.record };
  return { entry, reply };
}
