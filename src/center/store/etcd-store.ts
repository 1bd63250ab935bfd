/**
 * The store of several centers at once: everything in etcd, kept in memory by a watch.
 *
 *   umbra/leader            the id of the center that leads; goes with its lease
 *   umbra/records/T/K       records of table T, written by the leader
 *   umbra/events/N          events, written by the leader
 *   umbra/arbiter/VM        the arbiter's entries, changed by any center, by compare-and-swap
 *   umbra/epoch, umbra/centers/ID
 *
 * Every write of the leader is conditional on the very lease that made it leader (the creation
 * revision of `umbra/leader`): one that has lost it changes nothing any more, whatever its clock
 * says. Its transactions change memory at once and go to etcd in order; `settled` says when. What
 * the others have in memory is what the watch has told; the arbiter asks etcd itself each time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallContext, Etcd3, IKeyValue, IOperation, Lease, Watcher } from 'etcd3';
import type { EventView } from '../../api/views.ts';
import { assert } from '../../base/assert.ts';
import { UmbraError } from '../../base/errors.ts';
import type { ArbiterEntry } from '../../lockstep/arbiter.ts';
import { Records } from './records.ts';
import type { ArbiterRecords, EventDraft, EventQuery, Store, Table } from './store.ts';
import type { Change } from './tables.ts';

export interface EtcdOptions {
  /** `host:port` of etcd's members. */
  readonly endpoints: readonly string[];
  /** PEM; without it the connection is in the clear. */
  readonly tls?: { readonly ca: Buffer; readonly certificate?: Buffer; readonly key?: Buffer };
  /** This center, the same at every start. */
  readonly id: string;
}

const root = 'umbra/';
const leaderKey = `${root}leader`;
const epochKey = `${root}epoch`;
const clusterKey = `${root}etcd-cluster`;
/** How long a leader that has died stays in the way. */
const leaseSeconds = 3;
const callMsMax = 2_000;
const retryMs = 200;
const goodbyeMsMax = 500;
/** etcd takes 128 operations in a transaction; all of one transaction of ours go together. */
const operationsMax = 100;
/** Older events are forgotten: every center has all of them in memory. */
const eventsMax = 10_000;

interface Versioned {
  readonly entry: ArbiterEntry;
  /** etcd's revision of the last change. */
  readonly revision: string;
}

/** Loaded only here: a center without etcd starts a fifth sooner without its client. */
async function clientFor({ endpoints, tls }: EtcdOptions): Promise<Etcd3> {
  const { Etcd3 } = await import('etcd3');
  return new Etcd3({
    hosts: endpoints.map((endpoint) => `${tls ? 'https' : 'http'}://${endpoint}`),
    ...(tls && {
      credentials: {
        rootCertificate: tls.ca,
        ...(tls.certificate && tls.key && { certChain: tls.certificate, privateKey: tls.key }),
      },
    }),
    dialTimeout: callMsMax,
    // A call without an end would hold up everything behind it; watches have none.
    defaultCallOptions: (context: CallContext) =>
      context.isStream ? {} : { deadline: Date.now() + callMsMax },
  });
}

/** One transaction, by etcd's keys. */
type Write = ReadonlyMap<string, IOperation>;

interface Waiter {
  /** How many writes must be durable. */
  readonly target: number;
  readonly resolve: () => void;
  readonly reject: (why: Error) => void;
}

export class EtcdStore extends Records implements Store, ArbiterRecords {
  readonly #options: EtcdOptions;
  readonly #client: Etcd3;
  readonly #entries = new Map<string, Versioned>();
  readonly #centers = new Map<string, string>();
  #events: EventView[] = [];
  #epoch = 0;
  #isForeign = false;
  #watcher: Watcher | undefined;
  #leader: string | undefined;
  /** Creation revision of `umbra/leader` while this center leads. */
  #mandate: string | undefined;
  #lease: Lease | undefined;
  /** Whether memory is what etcd has, a watch away. */
  #loaded = false;
  /** Events of the transaction that is under way. */
  #drafts: EventView[] = [];
  /** Not yet in etcd, oldest first. */
  #writes: Write[] = [];
  #writing = false;
  #written = 0;
  #waiters: Waiter[] = [];
  #clusterId = '';
  #closed = false;
  onChange: (vm: string) => void = () => {};
  /** Somebody else leads, or nobody. */
  onLeader: () => void = () => {};
  /** This center leads no more; what it had not written is gone. */
  onLost: (why: Error) => void = () => {};

  private constructor(options: EtcdOptions, client: Etcd3) {
    super();
    this.#options = options;
    this.#client = client;
  }

  static async open(options: EtcdOptions): Promise<EtcdStore> {
    const store = new EtcdStore(options, await clientFor(options));
    try {
      await store.#load();
    } catch (cause) {
      void store.close();
      throw new UmbraError(
        'store-unreachable',
        `etcd at ${options.endpoints.join(', ')} does not answer: ${(cause as Error).message}`,
        'Check --store and that etcd runs: etcdctl endpoint health.',
        { cause },
      );
    }
    return store;
  }

  /** Says where this center is reached, for whoever looks for the leader or for an arbiter. */
  async announce(url: string): Promise<void> {
    await this.#asked(() => this.#client.put(centerKey(this.#options.id)).value(url).exec());
  }

  /** One cluster, one certificate authority: its fingerprint; a new cluster takes over this one. */
  async authority(fingerprint: string | undefined): Promise<string | undefined> {
    return this.#asked(async () => {
      if (fingerprint !== undefined) {
        const put = this.#client.put(authorityKey).value(fingerprint);
        await this.#client.if(authorityKey, 'Create', '==', 0).then(put).commit();
      }
      return (await this.#client.get(authorityKey).string()) ?? undefined;
    });
  }

  // --- leading

  get leads(): boolean {
    return this.#mandate !== undefined;
  }

  get leaderUrl(): string | undefined {
    if (this.#leader === undefined || this.leads) return undefined;
    return this.#centers.get(this.#leader);
  }

  get centerUrls(): readonly string[] {
    return [...this.#centers.values()];
  }

  /**
   * Takes the lead if nobody has it. Then memory is all that former leaders have written, and they
   * write no more. @returns whether this center leads now
   */
  async campaign(): Promise<boolean> {
    if (!this.#loaded || this.#leader !== undefined) return false;
    const lease = this.#client.lease(leaseSeconds);
    lease.on('lost', (why) => {
      if (lease === this.#lease) this.#lose(why);
    });
    try {
      const won = await this.#client
        .if(leaderKey, 'Create', '==', 0)
        .then(
          this.#client
            .put(leaderKey)
            .value(this.#options.id)
            .lease(await lease.grant()),
        )
        .commit();
      if (won.succeeded && !this.#closed) {
        this.#lease = lease;
        await this.#load(won.header.revision);
        return this.leads;
      }
    } catch {
      // etcd is away, or too slow: somebody tries again.
    }
    await lease.revoke().catch(() => {});
    return false;
  }

  /** What is in memory may never have been written: it is read anew. */
  #lose(why: Error): void {
    if (this.#mandate === undefined) return;
    this.#mandate = undefined;
    this.#lease?.release();
    this.#writes = [];
    for (const { reject } of this.#waiters.splice(0)) reject(follows(this.leaderUrl));
    if (this.#closed) return;
    this.onLost(why);
    void this.#reload();
  }

  async #reload(): Promise<void> {
    this.#loaded = false;
    while (!(this.#closed || this.#loaded)) {
      await this.#load().catch(() => sleep(retryMs));
    }
  }

  // --- memory

  /** Everything anew, then whatever changes. @param mandate as which leader */
  async #load(mandate?: string): Promise<void> {
    void this.#watcher?.cancel().catch(() => {});
    const all = await this.#client.getAll().prefix(root).sort('Create', 'Ascend').exec();
    this.tables.clear();
    this.#entries.clear();
    this.#centers.clear();
    this.#events = [];
    this.#leader = undefined;
    this.#clusterId = all.header.cluster_id;
    for (const pair of all.kvs) {
      this.#learn(pair);
      if (String(pair.key) === clusterKey) this.#isForeign = String(pair.value) !== this.#clusterId;
    }
    this.#events.sort((a, b) => a.sequence - b.sequence);
    const held = all.kvs.find((pair) => String(pair.key) === leaderKey);
    this.#mandate =
      mandate !== undefined && held?.create_revision === mandate ? mandate : undefined;
    const watcher = this.#client
      .watch()
      .prefix(root)
      .startRevision(String(BigInt(all.header.revision) + 1n))
      .watcher();
    watcher.on('put', (pair) => this.#learn(pair, true));
    watcher.on('delete', (pair) => this.#forget(String(pair.key)));
    // Too far behind to be told what has changed.
    watcher.on('error', () =>
      this.leads ? this.#lose(new Error('the watch broke')) : void this.#reload(),
    );
    this.#watcher = watcher;
    this.#loaded = true;
    if (this.#closed) void watcher.cancel().catch(() => {});
  }

  #learn({ key, value, mod_revision }: IKeyValue, isNews = false): void {
    const [, kind, ...rest] = String(key).split('/');
    const text = String(value);
    const name = rest.join('/');
    switch (kind) {
      case 'records': {
        // The leader's own words come back to it late.
        if (isNews && this.leads) return;
        const [table, ...parts] = rest;
        const change = { table: table as Table, key: parts.join('/'), value: JSON.parse(text) };
        return this.tables.load(change);
      }
      case 'events':
        if (!(isNews && this.leads)) this.#remember(JSON.parse(text) as EventView);
        return;
      case 'arbiter':
        return this.#learnEntry(name, text, mod_revision);
      case 'centers':
        this.#centers.set(name, text);
        return;
      case 'epoch':
        this.#epoch = Number(text);
        return;
      case 'leader':
        this.#leader = text;
        if (isNews) this.onLeader();
    }
  }

  #forget(key: string): void {
    const [, kind, ...rest] = key.split('/');
    if (kind === 'records' && !this.leads) {
      const [table, ...parts] = rest;
      this.tables.load({ table: table as Table, key: parts.join('/'), value: undefined });
    } else if (kind === 'arbiter') {
      const vm = rest.join('/');
      if (this.#entries.delete(vm)) this.onChange(vm);
    } else if (kind === 'leader') {
      this.#leader = undefined;
      this.onLeader();
    }
  }

  #learnEntry(vm: string, text: string, revision: string): void {
    const known = this.#entries.get(vm);
    if (known !== undefined && BigInt(known.revision) >= BigInt(revision)) return;
    this.#entries.set(vm, { entry: JSON.parse(text) as ArbiterEntry, revision });
    this.onChange(vm);
  }

  #remember(event: EventView): void {
    this.#events.push(event);
    if (this.#events.length > eventsMax) this.#events.shift();
  }

  // --- records

  transaction<T>(act: () => T): T {
    if (this.tables.inTransaction) return act();
    if (!this.leads) throw follows(this.leaderUrl);
    this.#drafts = [];
    return this.tables.transaction(
      act,
      (changes) => this.#enqueue(changes, this.#drafts),
      () => {},
    );
  }

  // --- events

  appendEvent(draft: EventDraft): EventView {
    return this.transaction(() => {
      const last = this.#drafts.at(-1) ?? this.#events.at(-1);
      const event = { ...draft, sequence: (last?.sequence ?? 0) + 1 };
      this.#drafts.push(event);
      return event;
    });
  }

  events({ after, before, limit, vm, last }: EventQuery): readonly EventView[] {
    const found = this.#events.filter(
      ({ sequence, data }) =>
        sequence > after &&
        (before === undefined || sequence < before) &&
        (vm === undefined || data['vm'] === vm),
    );
    return last ? found.slice(-limit) : found.slice(0, limit);
  }

  // --- the way to etcd

  #enqueue(changes: readonly Change[], events: readonly EventView[]): void {
    const client = this.#client;
    // etcd takes a key once in a transaction: the last word counts.
    const last = new Map(changes.map((change) => [`${change.table}/${change.key}`, change]));
    const write = new Map<string, IOperation>();
    for (const [name, { value }] of last) {
      const key = `${root}records/${name}`;
      const put = () => client.put(key).value(JSON.stringify(value));
      write.set(key, value === undefined ? client.delete().key(key) : put());
    }
    for (const event of events) {
      this.#remember(event);
      const key = eventKey(event.sequence);
      write.set(key, client.put(key).value(JSON.stringify(event)));
      const old = eventKey(event.sequence - eventsMax);
      if (event.sequence > eventsMax) write.set(old, client.delete().key(old));
    }
    if (write.size === 0) return;
    assert(write.size <= operationsMax, 'a transaction larger than etcd takes');
    this.#writes.push(write);
    void this.#writeAll();
  }

  settled(): Promise<void> {
    const target = this.#written + this.#writes.length;
    if (this.#writes.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ target, resolve, reject });
    });
  }

  async #writeAll(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    for (let mandate = this.#mandate; mandate !== undefined; mandate = this.#mandate) {
      if (this.#writes.length === 0) break;
      const { count, operations } = this.#batch();
      try {
        const { succeeded } = await this.#client
          .if(leaderKey, 'Create', '==', mandate)
          .then(...operations)
          .commit();
        if (mandate !== this.#mandate) continue;
        if (succeeded) this.#settle(count);
        else this.#lose(new Error('another center leads'));
      } catch {
        // Written or not: the same once more changes nothing, while the lease lasts.
        await sleep(retryMs);
      }
    }
    this.#writing = false;
  }

  /** As many whole transactions as etcd takes at once; a later one has the last word on a key. */
  #batch(): { readonly count: number; readonly operations: readonly IOperation[] } {
    const merged = new Map<string, IOperation>();
    let count = 0;
    for (const write of this.#writes) {
      if (count > 0 && merged.size + write.size > operationsMax) break;
      for (const [key, operation] of write) merged.set(key, operation);
      count += 1;
    }
    return { count, operations: [...merged.values()] };
  }

  #settle(count: number): void {
    this.#writes.splice(0, count);
    this.#written += count;
    const settled = this.#waiters.filter(({ target }) => target <= this.#written);
    this.#waiters = this.#waiters.filter(({ target }) => target > this.#written);
    for (const { resolve } of settled) resolve();
  }

  // --- the arbiter

  get arbiter(): ArbiterRecords {
    return this;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get mayHaveForgotten(): boolean {
    return this.#isForeign;
  }

  entry(vm: string): ArbiterEntry | undefined {
    return this.#entries.get(vm)?.entry;
  }

  vms(): readonly string[] {
    return [...this.#entries.keys()];
  }

  async read(vm: string): Promise<ArbiterEntry | undefined> {
    const [{ kvs }, epoch] = await this.#asked(() =>
      Promise.all([this.#client.get(arbiterKey(vm)).exec(), this.#client.get(epochKey).number()]),
    );
    this.#epoch = Math.max(this.#epoch, epoch ?? 0);
    if (kvs[0] === undefined) this.#forget(arbiterKey(vm));
    else this.#learnEntry(vm, String(kvs[0].value), kvs[0].mod_revision);
    return this.entry(vm);
  }

  async change(
    vm: string,
    before: ArbiterEntry | undefined,
    after: ArbiterEntry | undefined,
  ): Promise<boolean> {
    const known = this.#entries.get(vm);
    if (known?.entry !== before) return false;
    const key = arbiterKey(vm);
    const text = JSON.stringify(after);
    const { succeeded, header } = await this.#asked(() =>
      this.#client
        .if(key, 'Mod', '==', known?.revision ?? 0)
        .then(text ? this.#client.put(key).value(text) : this.#client.delete().key(key))
        .commit(),
    );
    if (!succeeded) return false;
    if (text === undefined) this.#forget(key);
    else this.#learnEntry(vm, text, header.revision);
    return true;
  }

  async beginEpoch(epoch: number): Promise<void> {
    await this.#asked(() =>
      this.#client
        .if(epochKey, 'Version', '>', -1)
        .then(
          this.#client.put(epochKey).value(epoch),
          this.#client.put(clusterKey).value(this.#clusterId),
        )
        .commit(),
    );
    this.#epoch = epoch;
    this.#isForeign = false;
  }

  /** An ask that etcd does not answer has no answer; lockstep asks again. */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      throw new UmbraError(
        'store-unreachable',
        `etcd does not answer: ${(cause as Error).message}`,
        'Check that most of its members run: etcdctl endpoint health.',
        { cause },
      );
    }
  }

  backup(): void {
    throw new UmbraError(
      'backup-elsewhere',
      'what the centers remember in common is in etcd, which is backed up by its own means',
      'Use etcdctl snapshot save, and keep ca.pem and ca-key.pem of one center safe.',
    );
  }

  /** Whoever leads next need not wait for the lease to end. */
  async close(): Promise<void> {
    this.#closed = true;
    const goodbye = [this.#watcher?.cancel(), this.leads ? this.#lease?.revoke() : undefined];
    // etcd may be away; it learns by itself, later.
    await Promise.race([
      Promise.allSettled(goodbye),
      sleep(goodbyeMsMax, undefined, { ref: false }),
    ]);
    this.#mandate = undefined;
    this.#lease?.release();
    this.#client.close();
  }
}

const authorityKey = `${root}authority`;
const centerKey = (id: string): string => `${root}centers/${id}`;
const arbiterKey = (vm: string): string => `${root}arbiter/${vm}`;
const eventKey = (sequence: number): string =>
  `${root}events/${String(sequence).padStart(12, '0')}`;

export function follows(leader: string | undefined): UmbraError {
  return new UmbraError(
    'center-follows',
    leader === undefined
      ? 'this center does not lead, and no other does at the moment'
      : `this center does not lead; ${leader} does`,
    'Ask again in a moment, or ask that center.',
  );
}
