/**
 * The center's heart: what is wished, what the arbiter has decided and what the daemons report come
 * together here, and what follows from them goes out.
 *
 *   agents, arbiter, people --> situation --> plan (protection.ts) --> commands, events
 *
 * Every change makes a new plan for the VMs that it concerns at once; a slow tick makes one for
 * all, so that whatever got lost is said again. Daemons may come and go, the center may restart:
 * nothing here has to survive but what the store has.
 */
import { randomBytes } from 'node:crypto';
import type { CenterMessage, Peer, VmStatus } from '../api/agent.ts';
import type { HelloMessage } from '../api/agent-link.ts';
import type { AuditView } from '../api/people.ts';
import type { EventView, FtStatusView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import type { Member, VmRecord } from '../lockstep/arbiter.ts';
import { type AgentListener, Agents, type VmMessage } from './agents.ts';
import { conditionsOf, type Facts } from './alarm-conditions.ts';
import { Alarms } from './alarms.ts';
import { Arbiter } from './arbiter.ts';
import { ArchivePassages } from './archive-passage.ts';
import { Audit } from './audit.ts';
import { shortage } from './capacity.ts';
import type { ConsoleLog } from './console-log.ts';
import type { TypingTarget } from './console-typing.ts';
import { DaemonConnections } from './daemon-connections.ts';
import { Events } from './events.ts';
import { followFlight } from './flights.ts';
import { byPriority, defaultLeaseMs, Ha, haReported } from './ha.ts';
import { HostWorks } from './host-works.ts';
import { Images } from './images.ts';
import { followIncident, incidentReported } from './incidents.ts';
import { beginsOff, Inventory, type Vm } from './inventory.ts';
import { LeaderMemory } from './leader-memory.ts';
import { Maintenance } from './maintenance.ts';
import { Measurements } from './measurements.ts';
import { cancelMove } from './migration.ts';
import { type News, newsOf } from './news.ts';
import type { HostState, Limits, Load } from './placement.ts';
import {
  type Command,
  type Live,
  liveOf,
  needOf,
  type Plan,
  plan,
  type Situation,
} from './protection.ts';
import type { CopyRates } from './rates.ts';
import { followRecording, keepRecordings, recordingReported } from './recordings.ts';
import { askWhatIsKnown } from './recovery.ts';
import { divergenceOf, wentLiveOf } from './report-words.ts';
import { rewound, rewoundTo, withoutShadows } from './rewinds.ts';
import { isInvolved } from './start-orders.ts';
import { ftStatusOf } from './status.ts';
import type { Store } from './store/store.ts';
import { Tasks } from './tasks.ts';
import { forgetLostClone, keepSnapshots, reverted, revertedTo } from './vm-states.ts';
import { hasWishes, isProtected, settle, shadowLossCause } from './wishes.ts';

export interface ClusterOptions {
  readonly store: Store;
  /** Where images are built: UMBRA_HOME of the center's machine. */
  readonly home: string;
  /** The center's folder: pinned images. */
  readonly data: string;
  readonly limits: Limits;
  /** Of VMs on datastores. */
  readonly haLeaseMs?: number | undefined;
  readonly onEvent?: (event: EventView) => void;
  readonly onAudit?: ((record: AuditView) => void) | undefined;
}

const tickMs = 500;
/** A host on which a copy has just failed is not the first choice. */
const avoidMs = 10_000;
/** A center that has just started waits so long for its hosts before it complains. */
const gatherMs = 5_000;
/** What a daemon says of its clock comes late, never early: of the last few the greatest is true. */
const clockSamples = 3;

export class Cluster implements AgentListener {
  readonly store: Store;
  readonly inventory: Inventory;
  readonly arbiter: Arbiter;
  readonly events: Events;
  readonly tasks: Tasks;
  readonly audit: Audit;
  readonly images: Images;
  readonly agents: Agents;
  readonly daemonConnections: DaemonConnections;
  readonly limits: Limits;
  /** The center's folder. */
  readonly data: string;
  readonly works = new HostWorks();
  readonly archives = new ArchivePassages();
  readonly alarms: Alarms;
  readonly ha: Ha;
  readonly maintenance: Maintenance;
  readonly measurements = new Measurements(this);
  #memory = new LeaderMemory();
  readonly #tick: NodeJS.Timeout;
  #leads = false;

  constructor(options: ClusterOptions) {
    const { store } = options;
    this.store = store;
    this.limits = options.limits;
    this.data = options.data;
    this.inventory = new Inventory(store);
    this.events = new Events(store, options.onEvent);
    this.audit = new Audit(store, options.onAudit);
    this.tasks = new Tasks(store, this.events);
    const hosts = () => this.inventory.daemons.filter(({ kind }) => kind === 'host');
    this.arbiter = new Arbiter(store.arbiter, () => hosts().map(({ id }) => id));
    store.arbiter.onChange = (vm) => {
      // After the reply is on its way: the asker's outputs may be waiting for it.
      setImmediate(() => this.#decided(vm));
    };
    this.images = new Images(options.home, options.data);
    this.agents = new Agents(this);
    this.daemonConnections = new DaemonConnections(store, this.inventory, this.events);
    this.alarms = new Alarms(store, this.events);
    this.maintenance = new Maintenance(this);
    this.ha = new Ha(this, options.haLeaseMs ?? defaultLeaseMs);
    this.#tick = setInterval(() => this.#look(), tickMs);
  }

  /** What an earlier run of the center has begun: nobody waits for it any more. */
  #giveUpMigrations(): void {
    for (const vm of this.inventory.vms) {
      if (vm.moveTo === undefined) continue;
      const { name } = vm.spec;
      this.inventory.putVm(cancelMove(vm));
      const text = `${name} was not migrated: the center was started anew`;
      this.events.add('vm-migration-failed', text, { vm: name });
    }
  }

  #look(): void {
    if (!this.#leads) return;
    this.evaluateAll();
    this.maintenance.look();
    this.#memory.rates.tidy(performance.now());
    this.measurements.look(performance.now());
    this.#lookAtAlarms();
  }

  /** Whether this center gives the orders. */
  get leads(): boolean {
    return this.#leads;
  }

  /** From now on. Daemons say by themselves what runs. */
  lead(): void {
    this.#leads = true;
    this.#forget();
    this.ha.clear();
    this.tasks.recover();
    this.#giveUpMigrations();
    this.evaluateAll();
  }

  /** Another center leads, or this one ends: daemons go where they are listened to. */
  resign(): void {
    this.#leads = false;
    this.ha.clear();
    this.maintenance.close();
    this.measurements.clear();
    this.tasks.resign();
    this.agents.close();
    this.#forget();
  }

  /** What was true while this center led is not known to be so later. */
  #forget(): void {
    this.#memory = new LeaderMemory();
    this.alarms.forgetTimes();
  }

  close(): void {
    this.resign();
    clearInterval(this.#tick);
  }

  // --- daemons --------------------------------------------------------------------------------

  kindOf(daemonId: string): 'host' | 'gateway' | undefined {
    return this.inventory.daemon(daemonId)?.kind;
  }

  connected(daemonId: string, hello: HelloMessage): void {
    const known = this.inventory.daemon(daemonId)!;
    const { trunkAddress, trunkPort, cpus, memoryBytes, version, datastores = [] } = hello;
    const said = { trunkAddress, trunkPort, cpus, memoryBytes, version, datastores };
    this.ha.hostIsBack(daemonId);
    this.store.transaction(() => {
      this.inventory.putDaemon({ ...known, ...said });
      this.events.add('host-connected', `${known.name} is connected`, { host: known.name });
    });
    this.agents.broadcast(this.#peers());
    const connection = this.agents.get(daemonId)!;
    const { centerUrls } = this.store;
    if (centerUrls.length > 0) connection.send({ kind: 'centers', urls: centerUrls });
    if (hello.daemonKind === 'gateway') connection.send(this.#published());
    for (const vm of this.inventory.vms) {
      const place = this.#placeOf(vm);
      if (place !== undefined) connection.send(place);
    }
    for (const status of hello.vms) this.#dismissUnknown(daemonId, status);
    for (const { vm } of hello.vms) this.#lookAtTyping(vm);
    for (const task of this.tasks.list({ state: 'failed' })) forgetLostClone(this, daemonId, task);
    this.evaluateAll();
  }

  disconnected(daemonId: string): void {
    if (!this.#leads) return;
    const daemon = this.inventory.daemon(daemonId);
    if (daemon === undefined) return;
    this.works.hostLost(daemonId);
    const { name } = daemon;
    this.#memory.clocks.delete(daemonId);
    this.events.add('host-not-responding', `${name} is not responding`, { host: name });
    this.evaluateAll();
  }

  vmsChanged(daemonId: string, vms: readonly string[]): void {
    for (const id of vms) {
      const status = this.agents.get(daemonId)?.copies.get(id);
      if (status !== undefined) {
        this.#dismissUnknown(daemonId, status);
        this.#memory.rates.learn(status, performance.now());
      }
      this.evaluate(id);
      this.#lookAtTyping(id);
    }
  }

  copyEnded(daemonId: string, { vm: id, ended }: VmStatus): void {
    const vm = this.inventory.vm(id);
    if (vm === undefined) return;
    this.works.copyEnded(daemonId, id);
    const host = this.nameOf(daemonId);
    const { kind, text } = ended ?? { kind: 'unknown', text: 'no reason was given' };
    const data = { vm: vm.spec.name, host, kind };
    // What ends in order is no reason against its host.
    const inOrder = ['off', 'suspended', 'handed-over', 'lost-claim', 'dismissed'].includes(kind);
    const event = vm.ftWanted && !inOrder ? 'ft-terminated' : 'vm-ended';
    this.events.add(event, `${vm.spec.name}'s copy on ${host} has ended: ${text}`, data);
    if (!inOrder) this.#avoidFor(id, daemonId);
    if (this.#memory.arbiterSilent.get(id) === daemonId) this.#memory.arbiterSilent.delete(id);
    if (kind === 'disk-failed') this.#diskFails(vm, daemonId, text);
  }

  clockSeen(daemonId: string, aheadMs: number): void {
    const samples = this.#memory.clocks.get(daemonId) ?? [];
    this.#memory.clocks.set(daemonId, [...samples, aheadMs].slice(-clockSamples));
  }

  said(daemonId: string, message: VmMessage): void {
    const isOfWork = this.#saidOfWork(daemonId, message);
    const vm = this.inventory.vm(message.vm);
    if (vm === undefined) return;
    if (isOfWork) return this.evaluate(message.vm);
    const host = this.nameOf(daemonId);
    const data = { vm: vm.spec.name, host };
    switch (message.kind) {
      case 'console':
        if (!isInvolved(vm, this.arbiter.entry(message.vm), daemonId)) return;
        // What was powered on while this center did not lead says bytes of its own.
        this.#digest(message.vm);
        this.console(message.vm).take(BigInt(message.offset), Buffer.from(message.bytes, 'base64'));
        break;
      case 'report':
        this.#reported(vm, daemonId, message.report);
        break;
      case 'snapshots':
        keepSnapshots(this, daemonId, message);
        break;
      case 'recordings':
        keepRecordings(this, daemonId, message);
        break;
      case 'failed': {
        const { command, code, remedy } = message;
        if (code === 'hand-over-refused')
          this.#memory.refusedHandOvers.set(message.vm, message.message);
        if (command === 'start' || command === 'startShadow') this.#avoidFor(message.vm, daemonId);
        const text = `${host} could not ${command} ${vm.spec.name}: ${message.message}`;
        const isShadow = command.startsWith('start') && vm.shadowHost === daemonId;
        this.events.add(isShadow ? 'ft-failed-to-start' : 'command-failed', text, {
          ...data,
          command,
          code,
          remedy,
        });
        break;
      }
    }
    this.evaluate(message.vm);
  }

  /**
   * Also of a VM that has been deleted meanwhile: a task waits for it.
   * @returns whether it is a work's report, and nobody else need look at it
   */
  #saidOfWork(daemonId: string, message: VmMessage): boolean {
    if (message.kind === 'failed') this.works.refused(daemonId, message);
    if (message.kind !== 'report') return false;
    const { kind, id } = message.report;
    recordingReported(this, daemonId, message);
    if (kind === 'recording-ended' || incidentReported(this, daemonId, message)) return true;
    if (!this.works.reported(daemonId, message.report)) return false;
    if (kind === 'work-done') forgetLostClone(this, daemonId, this.tasks.find(String(id)));
    return true;
  }

  /** What people want to read of what lockstep reports; the arbiter's decisions tell the rest. */
  #reported(vm: Vm, daemonId: string, report: Readonly<Record<string, unknown>>): void {
    const { name, id } = vm.spec;
    const host = this.nameOf(daemonId);
    const kind = String(report['kind']);
    const data = { vm: name, host, report };
    if (haReported(this, vm, host, report)) return;
    if (kind === 'arbiter-unreachable') this.#memory.arbiterSilent.set(id, daemonId);
    if (kind === 'arbiter-reachable') this.#memory.arbiterSilent.delete(id);
    if (kind === 'disk-error') this.#diskFails(vm, daemonId, `disk ${report['disk']} fails`);
    if (kind === 'divergence') {
      const { text, ...found } = divergenceOf(name, report);
      this.events.add('ft-divergence', text, { ...data, ...found });
      const subject = vm.spec.id;
      this.alarms.latch({ kind: 'ft-divergence', subject, severity: 'red', text, vm: name });
    } else if (kind === 'need-shadow') {
      const [reason, why] = [String(report['reason']), String(report['text'])];
      const text = `${name} needs a new shadow (${reason}): ${why}`;
      this.events.add('ft-need-shadow', text, { vm: name, host, reason });
    } else if (kind === 'hand-over-refused') {
      this.#memory.refusedHandOvers.set(vm.spec.id, String(report['text']));
    } else if (kind === 'went-live') {
      const { text, ...story } = wentLiveOf(name, host, report);
      this.events.add('ft-went-live', text, { vm: name, host, ...story });
    } else if (!['protected', 'ended'].includes(kind)) {
      const text = typeof report['text'] === 'string' ? `: ${report['text']}` : '';
      this.events.add('ft-report', `${name} on ${host}: ${kind}${text}`, data);
    }
  }

  #diskFails({ spec: { name } }: Vm, daemonId: string, why: string): void {
    const host = this.nameOf(daemonId);
    const text = `a disk of ${host} is failing under ${name}: ${why}`;
    const common = { kind: 'disk-failing', subject: daemonId, severity: 'red' } as const;
    // One for a host: every request of a dead disk fails.
    if (this.alarms.list().some(({ id }) => id === `disk-failing:${daemonId}`)) return;
    this.alarms.latch({ ...common, text, vm: name, host });
  }

  #avoidFor(vm: string, host: string): void {
    this.#memory.avoid.set(`${vm} ${host}`, performance.now() + avoidMs);
  }

  /** A VM that was deleted while its host was away. */
  #dismissUnknown(daemonId: string, { vm }: VmStatus): void {
    if (this.inventory.vm(vm) !== undefined) return;
    this.agents.get(daemonId)!.command({ kind: 'dismiss', vm });
    this.agents.get(daemonId)!.command({ kind: 'forget', vm });
  }

  // --- the arbiter's decisions ------------------------------------------------------------------

  /** Tells everybody what the arbiter has changed. */
  #decided(id: string): void {
    const vm = this.inventory.vm(id);
    const place = vm === undefined || !this.#leads ? undefined : this.#placeOf(vm);
    if (place !== undefined) this.agents.broadcast(place);
    this.evaluate(id);
  }

  /**
   * What follows from decisions, whoever took them and whenever: the record is compared with the
   * one that was looked at last.
   */
  #digest(id: string): void {
    const after = this.arbiter.certain(id);
    const before = this.store.get<VmRecord>('arbiterSeen', id);
    if (after === undefined || before?.claimId === after.claimId) return;
    this.store.transaction(() => {
      for (const news of newsOf(before, after)) this.#record(this.inventory.vm(id)!, news, after);
      this.store.put('arbiterSeen', id, after);
    });
  }

  #record(vm: Vm, news: News, record: VmRecord): void {
    const { generation } = record;
    const { id, name } = vm.spec;
    // From now on the arbiter knows a process that an older hello cannot have listed.
    this.#memory.decidedAt.set(id, performance.now());
    const data = { vm: name, generation };
    switch (news.kind) {
      case 'poweredOn': {
        const host = this.nameOf(news.host);
        const done = { acceptStale: false, discardState: false };
        const isResumed = news.resumed && !beginsOff(vm, record);
        const since = isResumed ? {} : { consoleSince: generation };
        const over = { restartedFrom: undefined, formerInputs: undefined };
        this.inventory.putVm({ ...vm, host: news.host, ...done, ...since, ...over });
        this.#memory.typings.get(id)?.restart();
        if (vm.restartedFrom !== undefined && vm.restartedFrom !== news.host) {
          const from = this.nameOf(vm.restartedFrom);
          const text = `${name} was restarted on ${host} since ${from} failed`;
          this.events.add('ha-vm-restarted', text, { ...data, host, from });
          this.#avoidFor(id, vm.restartedFrom);
        }
        if (isResumed) {
          this.events.add('vm-resumed', `${name} goes on, on ${host}`, { ...data, host });
          break;
        }
        this.events.add('vm-powered-on', `${name} is powered on, on ${host}`, { ...data, host });
        this.console(id).restart();
        break;
      }
      case 'shadowEligible': {
        const shadow = this.nameOf(news.shadow);
        if (vm.replicaHost !== undefined) this.inventory.putVm({ ...vm, replicaHost: undefined });
        const text = `${name} is protected: its shadow on ${shadow} may go live`;
        this.events.add('ft-shadow-started', text, {
          ...data,
          host: this.nameOf(news.host),
          shadow,
        });
        break;
      }
      case 'shadowLost': {
        const shadow = this.nameOf(news.shadow);
        const cause = shadowLossCause(vm);
        if (cause === 'lost') this.#avoidFor(id, news.shadow);
        const text = `${name} has no shadow any more on ${shadow}`;
        const host = this.nameOf(news.host);
        this.events.add('ft-shadow-lost', text, { ...data, host, shadow, cause });
        break;
      }
      case 'failedOver': {
        const from = this.nameOf(news.from);
        const host = this.nameOf(news.host);
        const isMigration = vm.moveTo === news.host;
        // A temporary shadow has done its work, and what it was made from is of no use any more.
        const discard = [
          ...(vm.discard ?? []),
          ...(isMigration && !vm.ftWanted ? [news.from] : []),
        ];
        this.inventory.putVm({ ...vm, host: news.host, shadowHost: undefined, discard });
        // A host that has just been lost may seem to be there for seconds.
        if (!isMigration && !this.handingOver.has(id)) this.#avoidFor(id, news.from);
        const text = isMigration
          ? `${name} has been migrated from ${from} to ${host}, generation ${generation}`
          : `${name} has failed over from ${from} to ${host}, generation ${generation}`;
        const kind = isMigration ? 'vm-migrated' : 'ft-primary-failover';
        this.events.add(kind, text, { ...data, host, from });
        break;
      }
      case 'stopped': {
        if (revertedTo(vm, news.saved) !== undefined) {
          reverted(this, vm, record);
          break;
        }
        if (rewoundTo(vm, news.saved) !== undefined) {
          rewound(this, vm, record);
          break;
        }
        // The guest may have switched itself off: it stays off until somebody starts it.
        const off = { wanted: 'off', shadowHost: undefined, recording: undefined } as const;
        this.inventory.putVm({ ...vm, ...off });
        const { isSuspended } = news;
        const text = `${name} is ${isSuspended ? 'suspended' : 'powered off'}`;
        const kind = isSuspended ? 'vm-suspended' : 'vm-powered-off';
        this.events.add(kind, text, { ...data, host: this.nameOf(news.host) });
        break;
      }
    }
  }

  #placeOf(vm: Vm): CenterMessage | undefined {
    const record = this.arbiter.certain(vm.spec.id);
    if (record?.state !== 'live' || record.live === undefined) return undefined;
    const { number: vmNumber, mac, isolated } = vm.spec;
    // Its address may be another one's.
    if (isolated) return undefined;
    const { epoch, generation, live } = record;
    return { kind: 'place', vmNumber, mac, host: live.host, epoch, generation };
  }

  // --- plans ------------------------------------------------------------------------------------

  evaluateAll(): void {
    for (const vm of byPriority(this.inventory.vms)) this.evaluate(vm.spec.id);
  }

  /** By name or id, with all that the arbiter has decided of it. */
  findVm(name: string): Vm {
    const { id } = this.inventory.findVm(name).spec;
    if (this.#leads) this.#digest(id);
    return this.inventory.vm(id)!;
  }

  evaluate(id: string): void {
    if (!this.#leads || this.inventory.vm(id) === undefined) return;
    this.#digest(id);
    askWhatIsKnown(this, id);
    const vm = this.#tidied(this.ha.recalled(this.inventory.vm(id)!));
    const next = plan(this.situation(vm));
    this.#adopt(vm, next);
    this.#order(withoutShadows(this, vm, next.commands));
    followRecording(this, this.inventory.vm(id)!);
    followFlight(this, this.inventory.vm(id)!);
    followIncident(this, this.inventory.vm(id)!);
    this.#noteState(this.inventory.vm(id)!);
  }

  /** Without what is settled: wishes that have come true, replicas that nobody needs. */
  #tidied(vm: Vm): Vm {
    if (!hasWishes(vm) && (vm.discard?.length ?? 0) === 0) return vm;
    const settled = settle(this.situation(vm));
    const discard = settled.discard?.filter((host) => this.#mustStay(settled, host));
    const isSame = settled === vm && discard?.length === vm.discard?.length;
    if (isSame) return vm;
    const next = { ...settled, ...(discard !== undefined && { discard }) };
    this.inventory.putVm(next);
    return next;
  }

  /** @returns whether the replica is still to be removed; if it can be now, orders it */
  #mustStay({ spec: { id }, shadowHost, moveTo, ftWanted }: Vm, host: string): boolean {
    const record = this.arbiter.certain(id);
    const connection = this.agents.get(host);
    if (this.inventory.daemon(host) === undefined) return false;
    // In use again.
    if ((ftWanted && host === shadowHost) || record?.live?.host === host) return false;
    if (record === undefined || connection === undefined) return true;
    const isUsed = host === shadowHost || host === moveTo || connection.copies.has(id);
    const isLive = record.state === 'live' && record.live?.host !== host;
    if (isUsed || !isLive || record.currentReplicas.includes(host)) return true;
    const send = () => this.agents.get(host)?.send({ kind: 'removeReplica', vm: id });
    this.store.settled().then(send, () => {});
    return false;
  }

  /** Orders rest on what no other center may have forgotten: they go out when it is durable. */
  #order(commands: readonly Command[]): void {
    if (commands.length === 0) return;
    const messages = commands.map(({ host, message }) => {
      return { host, message: message.kind === 'start' ? this.#started(message) : message };
    });
    const send = (): void => {
      for (const { host, message } of messages) {
        this.agents.get(host)?.command(message);
      }
    };
    // A center that leads no more gives no orders.
    this.store.settled().then(send, () => {});
  }

  #adopt(vm: Vm, { host, shadowHost, obstacle, commands }: Plan): void {
    const { id, name } = vm.spec;
    if (obstacle !== undefined) this.#memory.obstacles.set(id, obstacle);
    else this.#memory.obstacles.delete(id);
    const starts = commands.some(({ message }) => message.kind === 'start');
    const isRestart = commands.some(({ message }) => message.kind === 'start' && message.fenced);
    const record = this.arbiter.certain(id);
    // One power-on, one set of power-on inputs, however often it is told.
    const generation = record?.generation ?? vm.seedGeneration;
    // What goes on from a saved state goes on with the inputs of its power-on.
    const isSaved = record?.saved !== undefined && !beginsOff(vm, record);
    const goesOn = isSaved && vm.discardState !== true;
    const isNewStart = starts && !goesOn && vm.seedGeneration !== generation;
    if (vm.host === host && vm.shadowHost === shadowHost && !isNewStart) return;
    const lost = isNewStart && isRestart ? this.#lostHost(vm) : undefined;
    if (lost !== undefined) this.ha.noteLoss(lost);
    const { epochOffset, randomSeed } = vm.spec;
    const formerInputs = { epochOffset, randomSeed, seedGeneration: vm.seedGeneration };
    this.store.transaction(() => {
      this.inventory.putVm({
        ...vm,
        host,
        shadowHost,
        ...(lost !== undefined && { restartedFrom: lost, formerInputs }),
        ...(isNewStart && { spec: { ...vm.spec, ...powerOnInputs() }, seedGeneration: generation }),
      });
      if (isNewStart && isRestart && lost === undefined) {
        const text = `${name} has ended unexpectedly and is powered on again`;
        this.events.add('vm-restarted', text, { vm: name, host: this.nameOf(host!) });
      }
      if (shadowHost !== undefined && shadowHost !== vm.shadowHost) {
        const shadow = this.nameOf(shadowHost);
        const text = `${name} gets a shadow on ${shadow}`;
        this.events.add('ft-shadow-added', text, { vm: name, host: shadow });
      }
    });
  }

  /** Of a copy that is put aside because its lease has ended. */
  #lostHost({ spec: { id } }: Vm): string | undefined {
    const live = this.arbiter.certain(id)?.live;
    return live === undefined || this.#hasEnded(id, live) ? undefined : live.host;
  }

  /** With the power-on inputs that have just been made. */
  #started(message: Extract<CenterMessage, { kind: 'start' }>): CenterMessage {
    return { ...message, vm: this.inventory.vm(message.vm.id)!.spec };
  }

  #noteState(vm: Vm): void {
    const { id, name } = vm.spec;
    const { state, reason } = this.ftStatus(vm);
    const before = this.#memory.shown.get(id);
    if (state === before) return;
    this.#memory.shown.set(id, state);
    // The first look after a start of the center is no change.
    if (before === undefined) return;
    const text = `fault tolerance of ${name}: ${before} -> ${state}${reason ? ` (${reason})` : ''}`;
    this.events.add('ft-state-changed', text, { vm: name, from: before, to: state, reason });
    setImmediate(() => this.#lookAtAlarms());
  }

  #lookAtAlarms(): void {
    if (!this.#leads) return;
    const now = performance.now();
    const facts = this.#facts();
    const isGathering = now - this.#memory.startedAt < gatherMs;
    if (isGathering && facts.hosts.some((host) => host.isKnown && !host.connected)) return;
    this.alarms.look(conditionsOf(facts), now);
  }

  #facts(): Facts {
    const vms = this.inventory.vms.map((vm) => {
      const { id, name } = vm.spec;
      const ft = this.ftStatus(vm);
      const host = vm.host === undefined ? undefined : this.agents.get(vm.host);
      const isArbiterSilent =
        vm.host !== undefined && this.#memory.arbiterSilent.get(id) === vm.host;
      const { leaseEnded } = this.ha.situationOf(vm, this.arbiter.certain(id));
      const isOn = vm.wanted === 'on';
      const cannotRestart = leaseEnded && isOn ? this.obstacleOf(id) : undefined;
      const said = { isReported: host?.copies.has(id) === true, isArbiterSilent };
      return { id, name, ft, ...said, cannotRestart };
    });
    const hosts = this.inventory.daemons.map(({ id, name, trunkPort }) => {
      const clocks = this.#memory.clocks.get(id);
      return {
        ...{ id, name, connected: this.agents.get(id) !== undefined, isKnown: trunkPort > 0 },
        clockAheadMs: clocks === undefined ? undefined : Math.max(...clocks),
      };
    });
    return { vms, hosts, shortage: this.shortage() };
  }

  /** The worst loss of one host that could not be made good. */
  shortage(): Facts['shortage'] {
    const running = this.inventory.vms.filter(
      ({ spec, host }) =>
        host !== undefined && this.arbiter.entry(spec.id)?.record.state === 'live',
    );
    const tenants = running.map((vm) => {
      const hosts = [vm.host, vm.shadowHost].filter((host) => host !== undefined);
      return { name: vm.spec.name, need: needOf(vm), hosts };
    });
    return shortage(this.hostStates(), tenants, this.limits);
  }

  situation(vm: Vm): Situation {
    const { id } = vm.spec;
    const now = performance.now();
    const avoid = new Map<string, number>();
    for (const [key, until] of this.#memory.avoid) {
      if (until <= now) this.#memory.avoid.delete(key);
      else if (key.startsWith(`${id} `)) avoid.set(key.slice(id.length + 1), until);
    }
    const record = this.arbiter.certain(id);
    const hostsNow = () => this.hostStates(id);
    let hosts: readonly HostState[] | undefined;
    return {
      vm,
      record,
      // Most who look at a VM do not look for a place for it, and a thousand looks a second count.
      get hosts() {
        hosts ??= hostsNow();
        return hosts;
      },
      ha: this.ha.situationOf(vm, record),
      copies: this.agents.copiesOf(id),
      limits: this.limits,
      hasEnded: (member) => this.#hasEnded(id, member),
      avoid,
    };
  }

  #hasEnded(vm: string, member: Member): boolean {
    // Removing a host is the operator's word that nothing of it runs any more.
    if (this.inventory.daemon(member.host) === undefined) return true;
    return this.agents.hasEnded(
      vm,
      member,
      this.#memory.decidedAt.get(vm) ?? Number.NEGATIVE_INFINITY,
    );
  }

  /** Hosts with what is set aside on them for VMs other than this one. */
  hostStates(exceptVm?: string): HostState[] {
    const hosts = this.inventory.daemons.filter((daemon) => daemon.kind === 'host');
    const loadOf = (id: string) => this.#loadOf(id, exceptVm);
    return hosts.map(({ id, name, maintenance, memoryBytes, datastores = [] }) => {
      const connected = this.agents.get(id) !== undefined;
      let load: Load | undefined;
      return {
        ...{ id, name, connected, maintenance, memoryBytes, datastores },
        protocol: this.agents.get(id)?.protocol ?? 0,
        // Few who look at a host want its load, and with many VMs it is the dear part.
        get load() {
          load ??= loadOf(id);
          return load;
        },
      };
    });
  }

  #loadOf(host: string, exceptVm: string | undefined): Load {
    const load = { memoryBytes: 0, ftVms: 0, ftCpus: 0 };
    for (const vm of this.inventory.vms) {
      const { id, memoryBytes, cpus } = vm.spec;
      const isOn = vm.wanted === 'on' || this.arbiter.entry(id)?.record.state === 'live';
      if (id === exceptVm || !isOn || (vm.host !== host && vm.shadowHost !== host)) continue;
      load.memoryBytes += memoryBytes;
      if (!isProtected(vm)) continue;
      load.ftVms += 1;
      load.ftCpus += cpus;
    }
    return load;
  }

  // --- what daemons need to know of each other ---------------------------------------------------

  #peers(): CenterMessage {
    const peers = this.inventory.daemons
      .filter((daemon) => daemon.trunkPort > 0)
      .map(({ id, name, kind, trunkAddress, trunkPort, certificateEnds }): Peer => {
        const place = { id, name, kind, trunkAddress, trunkPort };
        return certificateEnds === undefined ? place : { ...place, certificateEnds };
      });
    return { kind: 'peers', peers, revoked: this.inventory.allRevoked.map(({ id }) => id) };
  }

  #published(): CenterMessage {
    const vms = this.inventory.vms
      .filter(({ spec }) => spec.isolated !== true)
      .map(({ spec: { number, mac, name }, ports }) => ({ number, mac, name, ports }));
    return { kind: 'publish', vms };
  }

  publish(): void {
    this.agents.broadcast(this.#published(), 'gateway');
  }

  announcePeers(): void {
    this.agents.broadcast(this.#peers());
  }

  // --- what people are shown ----------------------------------------------------------------------

  get migrations(): LeaderMemory['migrations'] {
    return this.#memory.migrations;
  }

  get handingOver(): LeaderMemory['handingOver'] {
    return this.#memory.handingOver;
  }

  console(vm: string): ConsoleLog {
    return this.#memory.console(vm);
  }

  /**
   * Somebody types. While nobody is live it goes nowhere, as on a real console.
   * @param viewer who, and the place of the first byte in all that they type; undefined: who does
   *   not count
   */
  type(id: string, bytes: Uint8Array, viewer?: { readonly id: string; readonly at: number }): void {
    const vm = this.inventory.vm(id);
    if (vm === undefined) return;
    const typing = this.#memory.typing(id);
    const fresh = viewer === undefined ? bytes : typing.fresh(viewer.id, bytes, viewer.at);
    const live = liveOf(this.situation(vm));
    if (live !== undefined) typing.type(fresh, this.#typingTarget(id, live));
  }

  /** What was typed and is not safe yet, to a copy that has gone live. */
  #lookAtTyping(id: string): void {
    const typing = this.#memory.typings.get(id);
    const vm = this.inventory.vm(id);
    if (typing === undefined || vm === undefined) return;
    const live = liveOf(this.situation(vm));
    if (live !== undefined) typing.look(this.#typingTarget(id, live));
  }

  #typingTarget(id: string, { copy }: Live): TypingTarget | undefined {
    const connection = copy && this.agents.get(copy.host);
    if (copy === undefined || connection === undefined) return undefined;
    return {
      connection,
      status: copy.status,
      send: (bytes, at) =>
        connection.send({
          ...{ kind: 'consoleInput', vm: id, bytes: Buffer.from(bytes).toString('base64') },
          ...(at !== undefined && { at }),
        }),
    };
  }

  forgetConsole(vm: string): void {
    this.#memory.forgetConsole(vm);
  }

  /** Why the last hand-over was refused, asked once. */
  takeRefusedHandOver(vm: string): string | undefined {
    const text = this.#memory.refusedHandOvers.get(vm);
    this.#memory.refusedHandOvers.delete(vm);
    return text;
  }

  /** Why a wish waits. */
  obstacleOf(vm: string): string | undefined {
    return this.#memory.obstacles.get(vm);
  }

  /** When its shadow became eligible, or the center saw it first; milliseconds, monotonic. */
  protectedSince(vm: string): number {
    return this.#memory.decidedAt.get(vm) ?? this.#memory.startedAt;
  }

  /** @returns the id of a host by its name or id; a gateway is none */
  hostNamed(name: string): string {
    const daemon = this.inventory.findDaemon(name);
    if (daemon.kind === 'host') return daemon.id;
    throw new UmbraError(
      'host-unknown',
      `${name} is a gateway and runs no VMs`,
      'Name a host: umbra host list.',
    );
  }

  nameOf = (daemonId: string): string =>
    (this.inventory.daemon(daemonId) ?? this.inventory.revoked(daemonId))?.name ?? daemonId;

  ftStatus(vm: Vm): FtStatusView {
    return ftStatusOf(this.situation(vm), this.nameOf, this.ratesOf);
  }

  ratesOf = (process: string): CopyRates => this.#memory.rates.of(process);
}

/** The guest's clock begins now; what it must not be able to guess is drawn now. */
export function powerOnInputs(): { readonly epochOffset: string; readonly randomSeed: string } {
  return {
    epochOffset: String(BigInt(Date.now()) * 1_000_000n),
    randomSeed: randomBytes(32).toString('hex'),
  };
}
