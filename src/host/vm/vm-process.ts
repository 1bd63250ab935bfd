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
import { readFile } from 'node:fs/promises';
import type { VmStatus } from '../../api/agent.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Operation, Reply, VmRecord } from '../../lockstep/arbiter.ts';
import { HostClock } from '../../lockstep/clock.ts';
import { Copy } from '../../lockstep/copy.ts';
import type { DiskShape } from '../../lockstep/disk-ledger.ts';
import type { Outputs, Ports } from '../../lockstep/ports.ts';
import { type CopyOptions, Primary } from '../../lockstep/primary.ts';
import { Shadow } from '../../lockstep/shadow.ts';
import type { Report } from '../../lockstep/status.ts';
import type { Output } from '../../machine/effects.ts';
import { nowUs } from '../clock.ts';
import { ArbiterClient } from './arbiter-client.ts';
import { type PreparedVm, prepareVm } from './configuration.ts';
import { ConsoleTail } from './console-tail.ts';
import { Driver } from './driver.ts';
import { FileDisks } from './file-disk.ts';
import {
  LogConnector,
  type LogCredentials,
  type LogListener,
  listenForShadow,
} from './log-channel.ts';
import type { FromVm, ToVm, VmLaunch } from './protocol.ts';
import { SwitchConnection } from './switch-connection.ts';

const blockHash = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();
const statusMs = 200;
/** Until the arbiter has answered, it is asked again this often. */
const startAskMs = 250;

export class VmProcess {
  readonly #launch: VmLaunch;
  readonly #tell: (message: FromVm) => void;
  readonly #process = randomBytes(8).toString('hex');
  readonly #console: ConsoleTail;
  #copy: Copy | undefined;
  #driver: Driver | undefined;
  #switch: SwitchConnection | undefined;
  #disks: FileDisks | undefined;
  #arbiter: ArbiterClient | undefined;
  #listener: LogListener | undefined;
  #connector: LogConnector | undefined;
  /** Replies before there is a copy go to the start. */
  #replied: (reply: Reply) => void = () => {};
  #shadowHost: string | undefined;
  #compared = 0;
  #divergences = 0;
  #over = false;
  readonly #onEnd: () => void;

  constructor(launch: VmLaunch, tell: (message: FromVm) => void, onEnd: () => void) {
    this.#launch = launch;
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
    const { vm, imageDirectory, directory, role, arbiterUrls, hostId } = this.#launch;
    const credentials = await this.#credentials();
    const prepared = await prepareVm(vm, imageDirectory, directory);
    const wake = (): void => this.#driver?.wake();
    this.#disks = await FileDisks.open(prepared.disks, (origin, completion) => {
      this.#copy?.diskDone(origin, completion);
      wake();
    });
    this.#arbiter = new ArbiterClient({ urls: arbiterUrls, ...credentials }, (reply) => {
      if (this.#copy) this.#copy.arbiterReplied(reply);
      else this.#replied(reply);
      wake();
    });
    this.#switch = new SwitchConnection(
      this.#launch.switchSocket,
      vm.number,
      vm.mac,
      (frame) => {
        this.#copy?.frame(0, frame);
        wake();
      },
      () => this.#end(),
    );
    const options: CopyOptions = {
      vm: vm.id,
      member: { host: hostId, process: this.#process },
      configuration: prepared.maker.configuration,
      disks: vm.disks.map(({ bytes }): DiskShape => ({ length: bytes, shared: false })),
    };
    const ports = this.#ports();
    this.#copy =
      role.kind === 'live'
        ? await this.#powerOn(options, ports, prepared)
        : new Copy(new Shadow(options, ports, prepared.maker, await this.#read(options)));
    this.#driver = new Driver(this.#copy, () => this.#afterStep());
    this.#listener = await listenForShadow(
      this.#launch.logAddress,
      credentials,
      (host) => this.#copy?.primary !== undefined && host === this.#shadowHost,
      (link) => this.#copy!.attach(link),
      wake,
    );
    if (role.kind === 'shadow') {
      const target = { host: role.primaryHost, address: role.address, port: role.port };
      const attach = (link: Parameters<Copy['attach']>[0]) => this.#copy!.attach(link);
      this.#connector = new LogConnector(target, credentials, attach, wake);
    }
    setInterval(() => this.#sayStatus(), statusMs).unref();
    this.#sayStatus();
    this.#driver.wake();
  }

  // --- Orders of the daemon

  receive(message: ToVm): void {
    const copy = this.#copy;
    switch (message.kind) {
      case 'launch':
        return;
      case 'protect':
        this.#shadowHost = message.shadowHost;
        if (copy?.primary === undefined) break;
        if (message.shadowHost === undefined) copy.primary.protection.turnOff();
        else copy.primary.protection.wanted = 'enabled';
        break;
      case 'handOver': {
        const refused = copy?.primary?.protection.handOver() ?? undefined;
        const text = copy?.primary === undefined ? 'this copy is not live' : refused;
        if (text !== undefined) this.#failed('hand-over-refused', text, 'Try again later.');
        break;
      }
      case 'stop':
        if (message.how === 'suspend') {
          this.#failed('not-supported', 'This host cannot suspend VMs yet.', 'Power it off.');
        } else copy?.control(message.how);
        break;
      case 'reset':
        copy?.control('reset');
        break;
      case 'dismiss':
        return this.#end();
      case 'consoleInput':
        copy?.console(Buffer.from(message.bytes, 'base64'));
        break;
      case 'trunk':
        if (this.#isPrimaryHost(message.host)) copy?.trunk(message.up);
        break;
    }
    this.#driver?.wake();
  }

  #isPrimaryHost(host: string): boolean {
    const { role } = this.#launch;
    return role.kind === 'shadow' && role.primaryHost === host;
  }

  // --- Becoming live

  async #powerOn(options: CopyOptions, ports: Ports, { maker }: PreparedVm): Promise<Copy> {
    const { role } = this.#launch;
    const fenced = role.kind === 'live' && role.fenced;
    const acceptStale = role.kind === 'live' && role.acceptStale;
    const known = await this.#read(options);
    const record = await this.#settle(options, known, { kind: 'start', fenced, acceptStale });
    const machine = maker.powerOn();
    ports.outputs.announce(record.epoch, record.generation);
    const clock = new HostClock(0n, nowUs());
    return new Copy(new Primary(options, ports, machine, 1, clock, record));
  }

  #read(options: CopyOptions): Promise<VmRecord> {
    return this.#settle(options, { epoch: 0, generation: 0 }, { kind: 'read' });
  }

  /**
   * One operation at the arbiter before there is a copy, asked until it is answered. Its claim has
   * a name of its own, which no later ask of this process repeats.
   */
  #settle(
    { vm, member }: CopyOptions,
    known: Pick<VmRecord, 'epoch' | 'generation'>,
    operation: Operation,
  ): Promise<VmRecord> {
    const { epoch, generation } = known;
    const claimId = randomBytes(16).toString('hex');
    const ask = { vm, member, epoch, generation, claimId, operation };
    return new Promise((resolve, reject) => {
      const again = setInterval(() => this.#arbiter!.ask(ask), startAskMs);
      this.#replied = (reply) => {
        if (reply.claimId !== claimId || reply.refusal === 'recovering') return;
        clearInterval(again);
        if (reply.granted && reply.record !== undefined) resolve(reply.record);
        else reject(startRefused(reply.refusal ?? 'refused', reply.record));
      };
      this.#arbiter!.ask(ask);
    });
  }

  // --- What the copy wants of its host

  #ports(): Ports {
    return {
      clock: { now: nowUs },
      disks: this.#disks!,
      outputs: this.#outputs(),
      arbiter: this.#arbiter!,
      entropy: (length) => randomBytes(length),
      blockHash,
      report: (report) => this.#report(report),
    };
  }

  #outputs(): Outputs {
    return {
      send: (output) => this.#send(output),
      suppressed: (output) => {
        if (output.kind === 'frame') this.#switch!.suppressed(output.frame);
      },
      announce: (epoch, generation) => this.#switch!.announce(epoch, generation),
    };
  }

  #send(output: Output): void {
    if (output.kind === 'frame') this.#switch!.send(output.frame);
    else if (output.kind === 'console') this.#console.write(output.offset, output.bytes);
  }

  #report(report: Report): void {
    if (report.kind === 'divergence') this.#divergences += 1;
    if (report.kind === 'went-live') this.#connector?.stop();
    this.#tell({ kind: 'report', report: JSON.parse(toJson(report)) as Record<string, unknown> });
    this.#sayStatus();
  }

  #afterStep(): void {
    if (this.#copy?.ended !== undefined) {
      this.#sayStatus();
      this.#end();
    }
  }

  #sayStatus(): void {
    this.#tell({ kind: 'status', status: this.#status() });
  }

  #status(): VmStatus {
    const copy = this.#copy;
    const primary = copy?.primary;
    const shadow = copy?.shadow;
    const status = copy?.status();
    const machine = primary?.machine ?? shadow?.machine;
    const ended = copy?.ended;
    this.#compared = shadow?.fingerprintsCompared ?? this.#compared;
    return {
      vm: this.#launch.vm.id,
      pid: process.pid,
      process: this.#process,
      role: ended ? 'ended' : primary ? 'live' : shadow ? 'shadow' : 'starting',
      count: String(machine?.count ?? 0n),
      epoch: status?.epoch ?? 0,
      generation: status?.generation ?? 0,
      ...(this.#listener && { logAddress: this.#listener.address, logPort: this.#listener.port }),
      ftState: status?.state ?? 'notConfigured',
      ...(status?.reason !== undefined && { ftReason: status.reason }),
      ...(status?.shadow !== undefined && { shadowHost: status.shadow.host }),
      lagMs: (status?.lagMicros ?? 0) / 1000,
      logBytesSent: status?.logBytesSent ?? 0,
      fingerprintsCompared: this.#compared,
      divergences: this.#divergences,
      ...(ended && { ended: { kind: ended.kind, text: ended.text } }),
    };
  }

  #failed(code: string, message: string, remedy: string): void {
    this.#tell({ kind: 'failed', code, message, remedy });
  }

  async #credentials(): Promise<LogCredentials> {
    const { caFile, certificateFile, keyFile } = this.#launch.credentials;
    const [ca, certificate, key] = await Promise.all(
      [caFile, certificateFile, keyFile].map((file) => readFile(file, 'utf8')),
    );
    return { ca: ca!, certificate: certificate!, key: key! };
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#driver?.stop();
    this.#connector?.stop();
    this.#listener?.close();
    this.#arbiter?.close();
    this.#onEnd();
  }
}

/** Reports are told as JSON; counts and positions become decimal strings where they are bigint. */
function toJson(report: Report): string {
  return JSON.stringify(report, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}

function startRefused(refusal: string, record: VmRecord | undefined): UmbraError {
  const live = record?.live?.host ?? 'another host';
  const texts: Record<string, [message: string, remedy: string]> = {
    'already-live': [
      `The VM is live on ${live} already.`,
      'Stop it there first; a VM never runs twice.',
    ],
    'stale-replica': [
      "This host's disks lack writes that the world was told of.",
      `Start the VM on ${record?.currentReplicas.join(' or ')}, or accept stale disks.`,
    ],
  };
  const [message, remedy] = texts[refusal] ?? [
    `The arbiter refused the start: ${refusal}.`,
    'Look at the events of the VM.',
  ];
  return new UmbraError(`start-${refusal}`, message, remedy);
}
