/**
 * A VM process: one copy of one VM. Joins lockstep to disks, log channel, switch, arbiter and the
 * daemon that started it.
 *
 *   live:    asks the arbiter for the VM, powers the machine on, listens for a shadow
 *   shadow:  connects to the primary, follows it, goes live when it must, then listens itself
 *
 * It ends when its copy has ended, or when the daemon is gone. What it cannot do it reports as
 * `failed`, with the reason, before it ends.
 */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ask, VmRecord } from '../../lockstep/arbiter.ts';
import { HostClock } from '../../lockstep/clock.ts';
import { Copy } from '../../lockstep/copy.ts';
import type { DiskShape } from '../../lockstep/disk-ledger.ts';
import type { Ports } from '../../lockstep/ports.ts';
import { type CopyOptions, Primary } from '../../lockstep/primary.ts';
import { Shadow } from '../../lockstep/shadow.ts';
import type { Report } from '../../lockstep/status.ts';
import type { Output } from '../../machine/effects.ts';
import type { MachineMaker } from '../../machine/machine.ts';
import { isAwaited } from '../../network/awaited.ts';
import { openBootClock } from '../boot-clock.ts';
import { nowUs } from '../clock.ts';
import { Trust } from '../trust.ts';
import { ArbiterClient } from './arbiter-client.ts';
import { type PreparedVm, prepareVm } from './configuration.ts';
import { ConsoleTail } from './console-tail.ts';
import { type Continued, findSaved, goOn, powerOnFrom, readSaved } from './continuing.ts';
import { type DiskPlace, LocalDisks, type PlacedDisks } from './disk-place.ts';
import { DiskUndo, undoFolder } from './disk-undo.ts';
import { Driver } from './driver.ts';
import { EpochProbe } from './epoch-probe.ts';
import { type DiskFile, FileDisks } from './file-disk.ts';
import { FlightRecorder } from './flight-recorder.ts';
import { GuestWatchdog, watchdogLookMs } from './guest-watchdog.ts';
import { Heap } from './heap.ts';
import { Journal } from './journal.ts';
import { KnowledgeFile } from './knowledge-file.ts';
import { LogChannel } from './log-channel.ts';
import { takeTurn } from './priority.ts';
import type { FromVm, ToVm, VmLaunch } from './protocol.ts';
import { SharedDisks } from './shared-disks.ts';
import { SnapshotMaker, type SnapshotReport } from './snapshot-maker.ts';
import { StartAsk } from './start-ask.ts';
import { tidyFolders } from './state-folder.ts';
import { plainReport, vmStatus } from './status.ts';
import { Suspending } from './suspending.ts';
import { SwitchConnection } from './switch-connection.ts';
import { Traffic } from './traffic.ts';
import { VmRecordings } from './vm-recordings.ts';

const blockHash = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
const statusMs = 200;
const restLookMs = 2_000;
/** A datastore that fails while a shadow takes its disks over is tried again. */
const takeAgainMs = 1_000;

export class VmProcess {
  readonly #launch: VmLaunch;
  readonly #tell: (message: FromVm) => void;
  readonly #onEnd: () => void;
  readonly #process = randomBytes(8).toString('hex');
  readonly #journal = new Journal();
  #trust!: Trust;
  readonly #console: ConsoleTail;
  readonly #traffic = new Traffic();
  #copy: Copy | undefined;
  #driver: Driver | undefined;
  #switch!: SwitchConnection;
  #disks: FileDisks | undefined;
  #place!: DiskPlace;
  #placed: PlacedDisks | undefined;
  #filesIn!: PreparedVm['filesIn'];
  /** A saved state that is not gone on from. */
  #discarded: string | undefined;
  #suspending: Suspending | undefined;
  #snapshots: SnapshotMaker | undefined;
  #recordings: VmRecordings | undefined;
  #flight: FlightRecorder | undefined;
  #arbiter!: ArbiterClient;
  #startAsk!: StartAsk;
  #probe: EpochProbe | undefined;
  #log: LogChannel | undefined;
  #logPort: number | undefined;
  #shadowHost: string | undefined;
  /** Orders that came before there was a copy. */
  #early: ToVm[] = [];
  readonly #watchdog = new GuestWatchdog();
  readonly #heap = new Heap();
  #fingerprintsCompared = 0;
  #divergences = 0;
  /** As its daemon has made it (priority.ts). */
  #givesWay: boolean;
  #over = false;

  constructor(launch: VmLaunch, tell: (message: FromVm) => void, onEnd: () => void) {
    this.#launch = launch;
    this.#givesWay = launch.role.kind === 'shadow';
    this.#tell = tell;
    this.#onEnd = onEnd;
    this.#console = new ConsoleTail((offset, bytes) =>
      tell({
        kind: 'console',
        offset: String(offset),
        bytes: Buffer.from(bytes).toString('base64'),
      }),
    );
  }

  async start(): Promise<void> {
    this.#trust = new Trust(this.#launch.credentials);
    const { vm, imageDirectory, tier, role } = this.#launch;
    const prepared = await prepareVm(vm, imageDirectory, tier);
    const { maker } = prepared;
    this.#filesIn = prepared.filesIn;
    this.#place = this.#diskPlace();
    this.#journal.note(`executed by the tier ${tier} on ${process.arch}`);
    await this.#connect();
    this.#copy = new Copy(await this.#makeRole(maker));
    if (this.#over) return;
    const { note } = this.#journal;
    const { configuration } = maker;
    const own = { vm, directory: this.#place.states, configuration, note, wake: this.#wake };
    this.#suspending = new Suspending({ ...own, syncDisks: () => this.#disks!.sync() });
    const disksFolder = (): string => this.#placed!.folder;
    const report = (said: SnapshotReport) => this.#tell({ kind: 'report', report: { ...said } });
    this.#snapshots = new SnapshotMaker({ ...own, disksFolder, disks: this.#disks!, report });
    this.#recordings = this.#makeRecordings(prepared);
    this.#flight = new FlightRecorder(this.#recordings, (said) =>
      this.#tell({ kind: 'report', report: said }),
    );
    this.#driver = new Driver(this.#copy, (micros) => this.#afterStep(micros));
    for (const message of this.#early.splice(0)) this.receive(message);
    this.#log = this.#openLog();
    this.#logPort = await this.#log.listen(this.#launch.logAddress);
    if (role.kind === 'shadow') this.#log.follow({ ...role, host: role.primaryHost });
    setInterval(() => this.#sayStatus(), statusMs).unref();
    setInterval(() => this.#watchGuest(), watchdogLookMs).unref();
    setInterval(() => this.#heap.lookForRest(), restLookMs).unref();
    this.#probe?.start();
    this.#sayStatus();
    this.#wake();
  }

  #makeRecordings({ bootFiles, maker, shape }: PreparedVm): VmRecordings {
    const { vm, directory } = this.#launch;
    return new VmRecordings({
      ...{ vm, directory, bootFiles, configuration: shape, digest: maker.configuration },
      undo: this.#disks!.undo,
      generation: () => {
        const { epoch = 0, generation = 0 } = this.#copy?.status() ?? {};
        return { epoch, generation };
      },
      report: (report) => this.#tell({ kind: 'report', report }),
      note: this.#journal.note,
      changed: () => {
        this.#sayStatus();
        this.#wake();
      },
    });
  }

  /** The daemon is gone, and so is this host, as far as the VM is concerned. */
  abandon(): void {
    this.#log?.abandon();
    this.#stop();
    this.#onEnd();
  }

  // --- Orders of the daemon

  receive(message: ToVm): void {
    if (message.kind === 'dismiss') return this.#end();
    if (message.kind === 'arbiters') return this.#arbiter?.moved(message.urls);
    if (message.kind === 'renewed') return this.#renew();
    if (message.kind === 'sayConsole') return this.#sayConsole();
    if (message.kind === 'standing') {
      this.#trust?.learn(message.standing);
      this.#log?.enforce();
      return undefined;
    }
    const copy = this.#copy;
    if (copy === undefined) {
      this.#early.push(message);
      return;
    }
    const { primary } = copy;
    switch (message.kind) {
      case 'protect':
        this.#shadowHost = message.shadowHost;
        if (primary === undefined) break;
        if (message.shadowHost === undefined) primary.protection.turnOff();
        else primary.protection.wanted = 'enabled';
        break;
      case 'handOver': {
        const why = primary ? primary.protection.handOver() : 'this copy is not live';
        if (why !== undefined) this.#failed('hand-over-refused', why, 'Try again later.');
        break;
      }
      case 'stop':
        if (message.how === 'suspend') {
          const why = primary ? primary.protection.suspend() : 'this copy is not live';
          if (why !== undefined) this.#failed('suspend-refused', why, 'Try again later.');
        } else primary?.control(message.how);
        break;
      case 'reset':
        primary?.control('reset');
        break;
      case 'watchdog':
        this.#watchdog.seconds = message.seconds;
        this.#sayStatus();
        break;
      case 'snapshot':
        void this.#snapshots?.take(primary, message);
        break;
      case 'record':
        this.#recordings?.start(primary, message);
        break;
      case 'stopRecording':
        this.#recordings?.stop(message.id, message.work);
        break;
      case 'flight': {
        const { seconds, bytesMax } = message;
        const isOff = seconds === undefined || bytesMax === undefined;
        this.#flight?.set(isOff ? undefined : { seconds, bytesMax });
        this.#flight?.look(primary);
        this.#sayStatus();
        break;
      }
      case 'keepFlight':
        void this.#flight?.keep(message.name, message.work);
        break;
      case 'consoleInput':
        // What comes before this copy is live is sent again when its status says that it is.
        primary?.console(Buffer.from(message.bytes, 'base64'), message.at);
        break;
      case 'trunk':
        if (this.#follows(message.host)) copy.trunk(message.up);
        break;
    }
    this.#wake();
  }

  /** The connections that stand go on with what they have. */
  #renew(): void {
    try {
      this.#trust?.renew();
      this.#log?.renew();
      this.#arbiter?.renew();
    } catch (error) {
      this.#journal.note(`the new certificate cannot be read: ${(error as Error).message}`);
    }
  }

  #follows(host: string): boolean {
    const { role } = this.#launch;
    return role.kind === 'shadow' && role.primaryHost === host;
  }

  // --- The surroundings of the copy

  readonly #wake = (): void => this.#driver?.wake();

  async #connect(): Promise<void> {
    const { vm, hostId, directory, arbiterUrls, switchSocket } = this.#launch;
    const { note } = this.#journal;
    const known = await KnowledgeFile.open(directory, (error) =>
      note(`what this host knows at the arbiter cannot be stored: ${error.message}`),
    );
    this.#arbiter = new ArbiterClient({ urls: arbiterUrls, trust: this.#trust }, known, (reply) => {
      if (this.#probe?.answers(reply)) return;
      if (this.#copy) this.#copy.arbiterReplied(reply);
      else this.#startAsk.replied(reply);
      this.#wake();
    });
    const member = { host: hostId, process: this.#process };
    this.#startAsk = new StartAsk(this.#arbiter, vm.id, member);
    const newest = () => known.newest;
    this.#probe = new EpochProbe(this.#arbiter, vm.id, member, newest, (epoch) => {
      this.#copy?.arbiterRecovers(epoch);
      this.#wake();
    });
    const onFrame = (frame: Uint8Array, segmentBytes: number): void => {
      this.#copy?.frame(0, frame, segmentBytes);
      if (this.#copy?.primary !== undefined) this.#traffic.received(frame);
      this.#wake();
    };
    const ended = (): void => this.abandon();
    const joins = (): boolean => this.#copy?.takesSegments(0) === true;
    this.#switch = new SwitchConnection(switchSocket, vm, onFrame, joins, ended);
  }

  #openLog(): LogChannel {
    return new LogChannel(this.#trust, {
      attach: (link) => this.#copy!.attach(link),
      refuses: (host) => {
        if (this.#copy!.primary === undefined) return 'this copy is not live';
        if (host === this.#shadowHost) return undefined;
        return `the shadow is to be on ${this.#shadowHost ?? 'no host'}`;
      },
      activity: this.#wake,
      note: this.#journal.note,
    });
  }

  #diskPlace(): DiskPlace {
    const { vm, directory, imageDirectory, sharedDirectory: folder } = this.#launch;
    if (folder === undefined) return new LocalDisks(directory, vm.disks.length);
    const templateOf = (template: string): string => join(imageDirectory, template);
    const { note } = this.#journal;
    return new SharedDisks({ vm, folder, process: this.#process, templateOf, note });
  }

  get #isShared(): boolean {
    return this.#launch.sharedDirectory !== undefined;
  }

  #filesOf({ folder }: PlacedDisks): DiskFile[] {
    return this.#filesIn(folder).map((file) => ({ ...file, writeThrough: this.#isShared }));
  }

  /** @param placed undefined: not yet (`take`). @param isStale whatever is there, it may adapt */
  async #openDisks(placed: PlacedDisks | undefined, isStale = false): Promise<void> {
    this.#placed = placed;
    const files = placed === undefined ? [] : this.#filesOf(placed);
    const adapted = isStale
      ? files.map((file) => ({ ...file, formerBytes: 'any' as const }))
      : files;
    this.#disks = await FileDisks.open(adapted, (origin, completion) => {
      this.#copy?.diskDone(origin, completion);
      this.#wake();
    });
    const { directory, vm } = this.#launch;
    // On a datastore the disks are others after every start.
    if (this.#isShared || vm.disks.length === 0) return;
    const failed = (error: Error): void => {
      this.#journal.note(`what the disks held is not kept any more: ${error.message}`);
      this.#recordings?.undoFailed(error);
    };
    this.#disks.undo = new DiskUndo({ folder: undoFolder(directory), failed });
  }

  /** Until it is done: without its disks a shadow that is about to claim is of no use. */
  async #takeDisks(record: VmRecord, consented: boolean): Promise<void> {
    const place = this.#place as SharedDisks;
    while (!this.#over) {
      try {
        const placed = await (consented ? place.present(record) : place.take(record));
        await this.#disks!.use(this.#filesOf(placed));
        this.#placed = placed;
        this.#copy!.disksTaken({ disks: placed.disks });
        return this.#wake();
      } catch (error) {
        const text = (error as Error).message;
        this.#journal.note(`the disks cannot be taken over: ${text}`);
        this.#failed('disks-not-taken', text, 'Look at the datastore; it is tried again.');
        await sleep(takeAgainMs);
      }
    }
  }

  async #makeRole(maker: MachineMaker): Promise<Primary | Shadow> {
    const { vm, hostId, directory, role } = this.#launch;
    const shared = this.#isShared;
    const options: CopyOptions = {
      vm: vm.id,
      member: { host: hostId, process: this.#process },
      configuration: maker.configuration,
      disks: vm.disks.map(({ bytes }): DiskShape => ({ length: bytes, shared })),
    };
    const before = await this.#startAsk.read();
    if (role.kind === 'shadow') {
      await tidyFolders(directory, undefined);
      // Whatever this replica was, it is compared and made equal block by block.
      await this.#openDisks(shared ? undefined : { folder: directory, disks: undefined }, true);
      await this.#disks!.undo?.clear();
      return new Shadow(options, this.#ports(), maker, before);
    }
    const { states } = this.#place;
    const { fenced, acceptStale, discardState = false, leaseMs, lapsed } = role;
    const { state, folder, disksFrom } = await findSaved(
      before,
      hostId,
      states,
      shared,
      discardState,
    );
    const placed = await this.#place.prepare(before, disksFrom);
    await this.#openDisks(placed);
    const { undo } = this.#disks!;
    const { disks } = placed;
    const order = { fenced, acceptStale, discardState, disks, leaseMs, lapsed };
    if (state === undefined) {
      const record = await this.#startAsk.start(before, order);
      if (shared) this.#discarded = folder;
      else await tidyFolders(directory, undefined);
      await undo?.clear();
      const clock = new HostClock(0n, nowUs());
      return this.#live(options, { machine: maker.powerOn(), clock, nextPosition: 1 }, record);
    }
    const saved = state.isOff ? undefined : await readSaved(state, states, maker);
    const record = await this.#startAsk.start(before, { ...order, restore: state.id });
    const continued = saved
      ? await goOn(state, states, saved)
      : await powerOnFrom(state, states, maker);
    this.#journal.note(`continues from ${state.id} at count ${state.count}`);
    await (state.undoFrom === undefined ? undo?.clear() : undo?.resume());
    const primary = this.#live(options, continued, record);
    primary.protection.hasContinued();
    return primary;
  }

  #live(options: CopyOptions, { machine, clock, nextPosition }: Continued, record: VmRecord) {
    const ports = this.#ports();
    ports.outputs.announce(record.epoch, record.generation);
    return new Primary(options, ports, machine, nextPosition, clock, record);
  }

  /** What an ended copy has written must be there for whoever starts the VM elsewhere. */
  #ask(ask: Ask): void {
    const isLast = ask.operation.kind === 'stop' && this.#isShared;
    if (!isLast) return this.#arbiter.ask(ask);
    // An ask that fails is repeated.
    void this.#disks!.sync().then(
      () => this.#arbiter.ask(ask),
      (error: Error) => this.#journal.note(`the disks cannot be made durable: ${error.message}`),
    );
  }

  #ports(): Ports {
    const net = this.#switch;
    const bootClock = this.#isShared ? openBootClock() : undefined;
    return {
      clock: { now: nowUs },
      ...(bootClock !== undefined && { bootClock }),
      disks: {
        submit: (origin, request) => {
          if (origin === 'guest') this.#traffic.disk(request);
          this.#disks!.submit(origin, request);
        },
        take: (record, consented) => void this.#takeDisks(record, consented),
      },
      outputs: {
        send: (output) => this.#send(output),
        isAwaited,
        suppressed: (output) => {
          if (output.kind === 'frame') net.suppressed(output.frame);
          else if (output.kind === 'console') this.#console.keep(output.offset, output.bytes);
        },
        announce: (epoch, generation) => {
          net.announce(epoch, generation);
          this.#console.sayKept();
          this.#tidy();
        },
      },
      arbiter: { ask: (ask) => this.#ask(ask) },
      entropy: (length) => randomBytes(length),
      blockHash,
      report: (report) => this.#report(report),
    };
  }

  /** Nobody waits for it; what stays is removed by the next copy. */
  #tidy(): void {
    this.#place.wentLive(this.#discarded).catch((error: Error) => {
      this.#journal.note(`old disks or states stay: ${error.message}`);
    });
  }

  #send(output: Output): void {
    this.#flight?.output(output);
    if (output.kind === 'frame') {
      this.#traffic.sent(output.frame);
      this.#switch.send(output.frame, output.segmentBytes);
    } else if (output.kind === 'console') this.#console.write(output.offset, output.bytes);
  }

  // --- What is said of the copy

  #report(report: Report): void {
    if (report.kind === 'divergence') this.#divergences += 1;
    this.#tell({ kind: 'report', report: plainReport(report) });
    this.#sayStatus();
  }

  #afterStep(micros: number): void {
    const copy = this.#copy!;
    this.#recordings?.stepped(copy.primary, micros);
    if (this.#givesWay && copy.shadow?.ready !== false) {
      this.#givesWay = false;
      takeTurn();
    }
    const phase = copy.shadow?.phase;
    if (phase === 'restoring' || copy.primary?.protection.phase === 'starting') {
      this.#heap.whileCopying();
    }
    // From its claim on a shadow listens to nobody; a primary never follows.
    if (phase === undefined || phase === 'claiming') this.#log?.stopFollowing();
    this.#suspending?.look(copy.primary);
    if (copy.ended === undefined) return;
    this.#sayStatus();
    this.#end();
  }

  #watchGuest(): void {
    const primary = this.#copy?.primary;
    if (primary === undefined || this.#over) return;
    this.#flight?.look(primary);
    const verdict = this.#watchdog.look(primary.machine, nowUs());
    if (verdict === 'responds') return;
    const { seconds } = this.#watchdog;
    const kind = verdict === 'reset' ? 'guest-reset' : 'guest-not-responding';
    this.#tell({ kind: 'report', report: { kind, seconds } });
    const what = `the guest has not served its own timer for ${seconds} s`;
    this.#flight?.happened('watchdog', what, seconds);
    if (verdict !== 'reset') return;
    primary.control('reset');
    this.#wake();
  }

  #sayStatus(): void {
    const { vm, logAddress } = this.#launch;
    this.#fingerprintsCompared =
      this.#copy?.shadow?.fingerprintsCompared ?? this.#fingerprintsCompared;
    const status = vmStatus(this.#copy, {
      vm: vm.id,
      process: this.#process,
      logAddress,
      logPort: this.#logPort,
      fingerprintsCompared: this.#fingerprintsCompared,
      divergences: this.#divergences,
      watchdogSeconds: this.#watchdog.seconds,
      traffic: this.#traffic,
      recordings: this.#recordings?.status ?? [],
      flight: this.#flight?.status,
    });
    this.#tell({ kind: 'status', status });
  }

  #sayConsole(): void {
    const isLive = this.#copy?.primary !== undefined;
    const { offset, bytes } = isLive ? this.#console.kept : { offset: 0n, bytes: new Uint8Array() };
    const text = Buffer.from(bytes).toString('base64');
    this.#tell({ kind: 'console', offset: String(offset), bytes: text, isTail: true });
  }

  #failed(code: string, message: string, remedy: string): void {
    this.#tell({ kind: 'failed', code, message, remedy });
  }

  /** In order: what the guest has written is on the disk before the process goes. */
  #end(): void {
    if (this.#over) return;
    this.#stop();
    const given = this.#snapshots?.giveUp('the VM has ended on this host') ?? Promise.resolve();
    const kept = given.then(() => this.#flight?.close());
    const recorded = kept.then(() => this.#recordings?.close());
    void recorded.then(() => this.#disks?.close()).finally(this.#onEnd);
  }

  #stop(): void {
    this.#over = true;
    this.#driver?.stop();
    this.#log?.close();
    this.#probe?.stop();
    this.#arbiter?.close();
  }
}
