/**
 * One cluster with one machine: hosts, their disks, the arbiter, a small center, the world.
 *
 * From: the scheduler. To: the checkers, which see everything that leaves. The center here is as
 * simple as it can be: it starts a shadow where one is missing, connects copies, and cold-starts the
 * machine when all its processes have certainly ended.
 */
import { Leases } from '../center/leases.ts';
import {
  type ArbiterEntry,
  type Ask,
  adopt,
  beginEpoch,
  coldStartHosts,
  decide,
  leaseOf,
  type Member,
  newRecord,
  type Operation,
  type Reply,
  type VmRecord,
} from '../lockstep/arbiter.ts';
import { ArbiterKnowledge } from '../lockstep/arbiter-knowledge.ts';
import { HostClock } from '../lockstep/clock.ts';
import type { DiskShape } from '../lockstep/disk-ledger.ts';
import { blockBytes } from '../lockstep/messages.ts';
import { type CopyOptions, Primary } from '../lockstep/primary.ts';
import { Shadow } from '../lockstep/shadow.ts';
import type { Report } from '../lockstep/status.ts';
import type { Output } from '../machine/effects.ts';
import type { MachineMaker } from '../machine/machine.ts';
import type { Checker } from './checkers/checker.ts';
import { SimDisk } from './disks.ts';
import { Network } from './network.ts';
import { Process } from './process.ts';
import { claimWithoutCompare, openGate, type Sabotage, tamperFor } from './sabotage.ts';
import { continued, forgetStale, type SavedState, Suspending } from './saved-states.ts';
import type { Scheduler } from './scheduler.ts';
import { SharedStore } from './shared-store.ts';

const vm = 'vm';
/** As far from each other as the lease allows for. */
const clockRates = [0.99, 1, 1.01] as const;

type StartHow = Omit<Extract<Operation, { kind: 'start' }>, 'kind' | 'fenced'>;

export interface ClusterOptions {
  readonly maker: MachineMaker;
  readonly hosts: number;
  readonly disks: readonly { readonly shared: boolean }[];
  /** Of shared disks: milliseconds; undefined: no host's loss ends by itself. */
  readonly leaseMs?: number | undefined;
  /** A deliberate mistake, to see a checker catch it. */
  readonly sabotage: Sabotage | undefined;
}

export interface SimHost {
  readonly name: string;
  readonly disks: SimDisk[];
  up: boolean;
  /** How fast its clock runs. */
  readonly clockRate: number;
  /** What the host has durably stored about the machine. */
  readonly knowledge: ArbiterKnowledge;
  /** A machine's state that is durable here. */
  saved: SavedState | undefined;
}

export class Cluster {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly options: ClusterOptions;
  readonly hosts: SimHost[] = [];
  readonly processes: Process[] = [];
  readonly checkers: readonly Checker[];
  readonly violations: string[] = [];
  readonly #shared: SharedStore;
  #leases: Leases;
  readonly #centerRate: number;
  /** A restart is under way. */
  #isTaking = false;
  readonly #shapes: DiskShape[];
  entry: ArbiterEntry;
  #history: ArbiterEntry[] = [];
  #epoch = 1;
  arbiterUp = true;
  lossOfReplies = 0;
  /** Where the world's switch sends frames. */
  route: Process | undefined;
  #routeRank = -1;
  #lives = 0;
  #names = 0;
  wantProtection = true;
  /** The operator wants the machine to stay suspended for now. */
  asleep = false;
  resumes = 0;
  readonly suspending = new Suspending(this);
  coldStarts = 0;
  /** Starts elsewhere because a lease had ended. */
  restarts = 0;
  goLives = 0;
  /** The machine was switched off by order: nobody may start it again. */
  off = false;
  /** Something has changed: a good moment for a fault. */
  onTransition: () => void = () => {};
  /** Answers for clients. */
  onFrame: (from: Process, frame: Uint8Array) => void = () => {};

  constructor(scheduler: Scheduler, options: ClusterOptions, checkers: readonly Checker[]) {
    this.scheduler = scheduler;
    this.options = options;
    this.checkers = checkers;
    this.network = new Network(scheduler);
    const { random } = scheduler;
    this.#shapes = options.disks.map(({ shared }) => ({
      length: blockBytes * random.between(1, 3) + 512 * random.between(0, 8),
      shared,
    }));
    const lengths = this.#shapes.map(({ length, shared }) => (shared ? length : undefined));
    this.#shared = new SharedStore(scheduler, lengths, (text) => this.violation('fencing', text));
    const rate = (): number => (options.leaseMs === undefined ? 1 : random.pick(clockRates));
    this.#centerRate = rate();
    this.#leases = this.#newLeases();
    for (let host = 0; host < options.hosts; host++) {
      const disks = this.#shapes.map(({ length }) => new SimDisk(scheduler, length));
      // Old replicas hold old things; only the first host's is current.
      if (host > 0) for (const disk of disks) disk.fill(random.bytes(disk.bytes.length));
      const knowledge = new ArbiterKnowledge();
      const clean = { up: true, clockRate: rate(), knowledge, saved: undefined };
      this.hosts.push({ name: `h${host}`, disks, ...clean });
    }
    const anyShared = options.disks.some(({ shared }) => shared);
    const partly = !options.disks.every(({ shared }) => shared);
    const shared = { disks: 'd0', renewals: 0, ...(partly && { partly }) };
    this.entry = newRecord(this.#epoch, ['h0'], anyShared ? shared : undefined);
    this.network.tamper = tamperFor(options.sabotage, scheduler);
  }

  // --- machinery -----------------------------------------------------------------------------

  violation(rule: string, text: string): void {
    this.scheduler.trace(`VIOLATION of ${rule}: ${text}`);
    this.violations.push(`${rule}: ${text}`);
  }

  host(name: string): SimHost {
    return this.hosts.find((host) => host.name === name)!;
  }

  diskOf(process: Process, disk: number): SimDisk {
    const name = process.shared ?? this.entry.record.shared?.disks;
    const shared = name === undefined ? undefined : this.#shared.set(name)[disk];
    return shared ?? this.host(process.host).disks[disk]!;
  }

  /** The clock of a process's host, which counts while the process stands still, too. */
  bootTime(process: Process): number {
    if (this.options.sabotage === 'endless-lease') return 0;
    return process.now() * this.host(process.host).clockRate;
  }

  /** A shadow is about to claim: the shared disks become its own. */
  takeDisks(process: Process, record: VmRecord, consented: boolean): void {
    const { random } = this.scheduler;
    this.scheduler.after(random.between(50, 20_000), () => {
      if (!process.alive) return;
      const disks = consented ? undefined : this.#copyDisks(process, record);
      // By consent the same set, which is the primary's until the claim is granted.
      if (disks === undefined) process.shared = record.shared!.disks!;
      process.deliver(() => process.copy.disksTaken({ disks }));
    });
  }

  /** @returns the name of a copy of the present shared disks, which is this process's from now on */
  #copyDisks(process: Process, { epoch, generation, shared }: VmRecord): string {
    const isUnfenced = this.options.sabotage === 'unfenced-disks';
    const own = `${epoch}-${generation + 1}-${process.member.process}`;
    const name = isUnfenced ? shared!.disks! : own;
    if (!isUnfenced) this.#shared.copy(shared!.disks!, name);
    this.#putDisksToUse(process, name);
    return name;
  }

  #putDisksToUse(process: Process, name: string): void {
    process.shared = name;
    this.#shared.use(name, process);
  }

  get primaries(): Process[] {
    return this.processes.filter(({ alive, copy }) => alive && copy.primary !== undefined);
  }

  /** The process that the arbiter's record names as live, if it is alive. */
  get live(): Process | undefined {
    return this.byMember(this.entry.record.live);
  }

  byMember(member: Member | undefined): Process | undefined {
    if (member === undefined) return undefined;
    return this.processes.find(
      (process) => process.alive && process.member.process === member.process,
    );
  }

  // --- what copies do ------------------------------------------------------------------------

  released(from: Process, output: Output): void {
    for (const checker of this.checkers) checker.released(this, from, output);
    if (output.kind === 'frame') {
      this.network.datagram(from.host, 'world', from.now(), () => this.onFrame(from, output.frame));
    }
  }

  announced(from: Process, epoch: number, generation: number): void {
    this.goLives++;
    if (from.shared !== undefined) this.#shared.use(from.shared, from);
    this.scheduler.trace(`${from.name} goes live at generation ${epoch}.${generation}`);
    for (const checker of this.checkers) checker.wentLive(this, from);
    this.#believe(from, epoch, generation);
    this.#sabotagePrimary(from);
  }

  #believe(process: Process, epoch: number, generation: number): void {
    const rank = epoch * 1e6 + generation;
    if (rank < this.#routeRank) return;
    this.#routeRank = rank;
    this.route = process;
  }

  reported(from: Process, report: Report): void {
    this.scheduler.trace(`${from.name} reports ${reportText(report)}`);
    for (const checker of this.checkers) checker.reported(this, from, report);
    this.onTransition();
  }

  processEnded(process: Process): void {
    process.die();
    this.#closeLinks(process, false);
  }

  // --- the arbiter ---------------------------------------------------------------------------

  ask(host: string, asked: Ask, process: Process | undefined): void {
    const from = this.host(host);
    const ask = from.knowledge.asking(asked);
    const sentAt = process?.now() ?? this.scheduler.now;
    this.network.datagram(host, 'arbiter', sentAt, () => {
      if (!this.arbiterUp) return;
      const reply = this.#decide(ask);
      if (this.scheduler.random.chance(this.lossOfReplies)) return;
      this.network.datagram('arbiter', host, this.scheduler.now, () => {
        // A process that has ended cannot be granted anything any more.
        if (!from.up || process?.alive === false) return;
        if (!from.knowledge.replied(reply)) return;
        process?.deliver(() => process.copy.arbiterReplied(reply));
      });
    });
  }

  #decide(ask: Ask): Reply {
    const careless = this.options.sabotage === 'claim-without-compare';
    const { entry, reply } = (careless ? claimWithoutCompare : decide)(this.entry, ask);
    if (entry.record.generation !== this.entry.record.generation) {
      const { kind } = ask.operation;
      this.scheduler.trace(
        `arbiter: ${kind} by ${ask.member.process}: ${recordText(entry.record)}`,
      );
      this.#history.push(this.entry);
      this.onTransition();
    }
    this.entry = entry;
    return reply;
  }

  get #hostNames(): string[] {
    return this.hosts.map(({ name }) => name);
  }

  /** The arbiter's store comes back from a backup; it knows that it did, and begins a new epoch. */
  rollBack(): void {
    const back = this.scheduler.random.below(Math.min(4, this.#history.length + 1));
    const old = this.#history.at(-1 - back) ?? this.entry;
    this.#epoch++;
    this.entry = beginEpoch(old, this.#epoch, this.#hostNames);
    this.scheduler.trace(`arbiter rolled back: ${recordText(this.entry.record)}`);
  }

  /** An empty store: it hears of the machine from whichever host registers first. */
  loseStore(): void {
    const known = this.hosts.flatMap(({ knowledge }) => knowledge.saved.known ?? []);
    if (known.length === 0) return;
    this.#epoch++;
    this.entry = adopt(this.#epoch, this.scheduler.random.pick(known), this.#hostNames);
    this.scheduler.trace(`arbiter begins anew: ${recordText(this.entry.record)}`);
  }

  /** The center asks all hosts what they know; a process that lives answers for itself. */
  #registerHosts(): void {
    const { recovery, record } = this.entry;
    if (recovery === undefined || !this.arbiterUp) return;
    const { epoch } = record;
    for (const { name, up, knowledge } of this.hosts) {
      if (!up || !this.network.reaches(name, 'arbiter')) continue;
      const process = this.processes.find(({ alive, host }) => alive && host === name);
      if (process !== undefined) process.deliver(() => process.copy.arbiterRecovers(epoch));
      else {
        // A host that has never heard of the machine says so, too.
        const nothing = { ...record, epoch: 0, generation: 0, currentReplicas: [] };
        const none: VmRecord = { ...nothing, live: undefined, eligibleShadow: undefined };
        const operation = { kind: 'register', known: none, intent: undefined } as const;
        const member = { host: name, process: 'daemon' };
        const empty = { vm, member, epoch, generation: 0, claimId: `${name}:register`, operation };
        this.ask(name, knowledge.registration(vm, name, epoch) ?? empty, undefined);
      }
    }
  }

  // --- the center ----------------------------------------------------------------------------

  /** Looks after everything, now and then. */
  center(): void {
    this.scheduler.after(this.scheduler.random.between(10_000, 40_000), () => this.center());
    this.#registerHosts();
    this.#connect();
    this.#startShadow();
    this.#coldStart();
    this.#restartElsewhere();
  }

  #connect(): void {
    for (const shadow of this.processes) {
      const primary = shadow.follows;
      if (!shadow.alive || shadow.copy.shadow === undefined || !primary?.alive) continue;
      if (primary.copy.primary === undefined) continue;
      if (!this.network.reaches(shadow.host, primary.host)) continue;
      const open = this.network.connections.some(
        (connection) => connection.open && connection.ends[1].owner === shadow,
      );
      if (!open) this.#link(primary, shadow);
    }
  }

  #link(primary: Process, shadow: Process): void {
    const [near, far] = this.network.connect(primary, shadow).ends;
    primary.deliver(() => {
      near.channel = primary.copy.attach(near);
    });
    shadow.deliver(() => {
      far.channel = shadow.copy.attach(far);
    });
  }

  #startShadow(): void {
    const primary = this.live;
    if (!this.wantProtection || primary === undefined || primary.paused) return;
    // A shadow reads the record first, and an arbiter that recovers tells it nothing.
    if (this.entry.recovery !== undefined && this.entry.record.shared !== undefined) return;
    const status = primary.copy.status();
    if (status?.state !== 'needShadow' || primary.copy.primary!.protection.phase !== 'alone')
      return;
    if (this.processes.some(({ alive, follows }) => alive && follows === primary)) return;
    const place = this.hosts.filter(
      ({ name, up }) =>
        up &&
        name !== primary.host &&
        !this.processes.some(({ alive, host }) => alive && host === name),
    );
    if (place.length === 0) return;
    const host = this.scheduler.random.pick(place);
    const shadow = this.#process(host.name, primary.life);
    shadow.follows = primary;
    const ports = shadow.ports();
    const options = this.#copyOptions(shadow.member);
    shadow.begin(new Shadow(options, ports, this.options.maker, this.entry.record));
    this.scheduler.trace(`${shadow.name} starts as a shadow of ${primary.name}`);
    this.#sabotagePrimary(primary);
  }

  /** Another center, which has seen nothing yet. */
  restartCenter(): void {
    this.scheduler.trace('the center is restarted');
    this.#leases = this.#newLeases();
  }

  #newLeases(): Leases {
    return new Leases(() => this.scheduler.now * this.#centerRate);
  }

  /** The live copy's lease has ended, whatever has become of it: elsewhere, once. */
  #restartElsewhere(): void {
    const { record, recovery } = this.entry;
    const certain = recovery === undefined && this.arbiterUp ? record : undefined;
    const lease = certain && leaseOf(certain);
    const hasEnded = this.#leases.hasEnded(vm, certain);
    if (!hasEnded || lease === undefined || this.off || this.#isTaking) return;
    const { random } = this.scheduler;
    const places = this.hosts.filter(
      ({ name, up }) => up && name !== record.live!.host && this.network.reaches(name, 'arbiter'),
    );
    if (places.length === 0) return;
    const process = this.#process(random.pick(places).name, ++this.#lives);
    // Until it is granted there is nothing that could be spoken to.
    process.alive = false;
    this.scheduler.trace(`the lease ${lease} has ended: ${process.name} takes over`);
    this.onTransition();
    const disks = this.#copyDisks(process, record);
    this.#isTaking = true;
    // The record may change while the disks are copied.
    this.scheduler.after(random.between(0, 50_000), () => {
      this.#isTaking = false;
      const how = { disks, lapsed: lease, leaseMs: this.options.leaseMs };
      const granted = this.host(process.host).up ? this.#askStart(process, how) : undefined;
      if (granted === undefined) return;
      process.alive = true;
      this.#restarted(process, granted);
    });
  }

  #restarted(process: Process, granted: VmRecord): void {
    this.restarts++;
    for (const checker of this.checkers) checker.restarted(this, process);
    this.#powerOn(process, granted);
  }

  /** Only when no process is left that is live or might go live. */
  #coldStart(): void {
    const { record, recovery } = this.entry;
    if (!this.arbiterUp || recovery !== undefined || this.off) return;
    if (this.processes.some(({ alive }) => alive) || this.#isTaking) return;
    if (record.state === 'suspended' && this.asleep) return;
    if (record.saved !== undefined && this.#continue(record)) return;
    const stale = this.options.sabotage === 'stale-start';
    const names = stale ? this.hosts.map(({ name }) => name) : coldStartHosts(record);
    const places = this.hosts.filter(({ name, up }) => up && names.includes(name));
    if (places.length === 0) return;
    const host = this.scheduler.random.pick(places);
    const process = this.#process(host.name, ++this.#lives);
    const discardState = record.saved !== undefined;
    const disks = this.#disksFor(process, record);
    const { leaseMs } = this.options;
    const granted = this.#start(process, { acceptStale: stale, discardState, ...disks, leaseMs });
    if (granted === undefined) return;
    forgetStale(host, undefined);
    this.coldStarts++;
    this.#powerOn(process, granted);
  }

  /** Of a machine that was live, a late write may still come: its disks are taken over. */
  #disksFor(process: Process, record: VmRecord): Pick<StartHow, 'disks' | 'lapsed'> {
    if (record.shared === undefined) return {};
    if (record.state === 'live') {
      return { disks: this.#copyDisks(process, record), lapsed: leaseOf(record) };
    }
    this.#putDisksToUse(process, record.shared.disks!);
    return {};
  }

  /** @returns the record, if the arbiter grants the start as it has to */
  #start(process: Process, how: StartHow): VmRecord | undefined {
    const record = this.#askStart(process, how);
    if (record === undefined) this.violation('cold-start', 'refused');
    return record;
  }

  #askStart(process: Process, how: StartHow): VmRecord | undefined {
    const { epoch, generation } = this.entry.record;
    const operation = { kind: 'start', fenced: true, ...how } as const;
    const claimId = `center:${this.#names++}`;
    const { member } = process;
    const reply = this.#decide({ vm, member, epoch, generation, claimId, operation });
    if (reply.granted) this.host(member.host).knowledge.replied(reply);
    else this.scheduler.trace(`start of ${process.name} refused: ${reply.refusal}`);
    return reply.granted ? reply.record : undefined;
  }

  /** @returns false where the machine has to be powered on without its state */
  #continue(before: VmRecord): boolean {
    const { saved, state } = before;
    const host = this.host(saved!.host);
    // Its host may come back. Only the operator's word goes past a state that nobody continued.
    if (!host.up) return state !== 'suspended' || !this.scheduler.random.chance(0.1);
    if (host.saved?.id !== saved!.id) {
      if (state === 'suspended') this.violation('saved-state', `${saved!.id} is missing`);
      return false;
    }
    const kept = host.saved;
    const process = this.#process(host.name, kept.life);
    const { leaseMs } = this.options;
    const disks = this.#disksFor(process, before);
    const record = this.#start(process, { restore: kept.id, ...disks, leaseMs });
    if (record === undefined) return true;
    // Dead between the arbiter's grant and its first instruction: the state is still there.
    if (this.scheduler.random.chance(0.2)) {
      this.scheduler.trace(`${process.name} dies before it has gone on`);
      process.alive = false;
      return true;
    }
    host.saved = undefined;
    this.resumes++;
    const { machine, clock } = continued(this.options.maker, kept, this.scheduler.now);
    this.scheduler.trace(`${process.name} goes on from ${kept.id} at ${record.generation}`);
    this.#believe(process, record.epoch, record.generation);
    const options = this.#copyOptions(process.member);
    const primary = new Primary(options, process.ports(), machine, 1, clock, record);
    process.begin(primary);
    primary.protection.hasContinued();
    return true;
  }

  #powerOn(process: Process, record: VmRecord): void {
    const clock = new HostClock(1_000_000n, this.scheduler.now);
    const machine = this.options.maker.powerOn();
    const options = this.#copyOptions(process.member);
    this.scheduler.trace(`${process.name} starts cold at generation ${record.generation}`);
    this.#believe(process, record.epoch, record.generation);
    process.begin(new Primary(options, process.ports(), machine, 1, clock, record));
  }

  #process(host: string, life: number): Process {
    const process = new Process(this, { host, process: `p${this.#names++}` }, life);
    this.processes.push(process);
    return process;
  }

  #copyOptions(member: Member): CopyOptions {
    return { vm, member, configuration: this.options.maker.configuration, disks: this.#shapes };
  }

  // --- faults --------------------------------------------------------------------------------

  /** The process ends; its host's kernel closes its connections. */
  kill(process: Process): void {
    this.scheduler.trace(`${process.name} is killed`);
    process.die();
    this.#closeLinks(process, false);
    // The host daemons' trunk may bring the news, or not.
    if (this.scheduler.random.chance(0.5)) this.#tellTrunk(process, false);
  }

  crash(host: SimHost): void {
    this.scheduler.trace(`${host.name} loses its power`);
    host.up = false;
    for (const process of this.processes) {
      if (!process.alive || process.host !== host.name) continue;
      process.die();
      this.#closeLinks(process, true);
      if (this.scheduler.random.chance(0.3)) this.#tellTrunk(process, false);
    }
    for (const disk of host.disks) disk.powerCut();
  }

  restart(host: SimHost): void {
    if (!host.up) this.scheduler.trace(`${host.name} is back`);
    host.up = true;
  }

  resetLinks(): void {
    this.scheduler.trace('connections are reset');
    for (const connection of this.network.connections) if (connection.open) connection.reset();
  }

  #closeLinks(process: Process, silent: boolean): void {
    for (const connection of this.network.connections) {
      for (const end of connection.ends) if (end.owner === process) end.abandon(silent);
    }
  }

  #tellTrunk(process: Process, open: boolean): void {
    for (const shadow of this.processes) {
      if (shadow.follows !== process) continue;
      const silent = this.network.connections.filter(({ ends }) => ends[1].owner === shadow);
      for (const { ends } of silent) ends[1].reset();
      shadow.deliver(() => shadow.copy.trunk(open));
    }
  }

  #sabotagePrimary({ copy }: Process): void {
    if (this.options.sabotage === 'open-gate' && copy.primary !== undefined) openGate(copy.primary);
  }
}

function recordText(record: VmRecord): string {
  const { epoch, generation, state, live, eligibleShadow, currentReplicas } = record;
  const shadow = eligibleShadow?.process ?? 'none';
  const replicas = currentReplicas.join(' ');
  return `${epoch}.${generation} ${state}, live ${live?.process}, shadow ${shadow}, on ${replicas}`;
}

function reportText(report: Report): string {
  if (report.kind === 'ended') return `ended: ${report.ended.kind}, ${report.ended.text}`;
  return JSON.stringify(report, (_key, value) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}
