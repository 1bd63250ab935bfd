/**
 * Hosts for tests of VM processes: the processes are real, and so are sockets, certificates and
 * disks; in the daemon's and the center's place stand an arbiter made of lockstep's pure `decide`,
 * and for each host a switch that keeps what it is sent.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttps, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { VmSpec, VmStatus } from '../../src/api/agent.ts';
import type { DaemonCredentials } from '../../src/api/credentials.ts';
import { centerName } from '../../src/api/wire.ts';
import { TestAuthority } from '../../src/host/certificates.fixture.ts';
import { nowUs } from '../../src/host/clock.ts';
import type { Tier } from '../../src/host/tiers.ts';
import type { FromVm, SwitchHello, ToVm, VmLaunch } from '../../src/host/vm/protocol.ts';
import { switchControlBit } from '../../src/host/vm/protocol.ts';
import {
  type ArbiterEntry,
  type Ask,
  beginEpoch,
  decide,
  newRecord,
} from '../../src/lockstep/arbiter.ts';
import { FrameDecoder } from '../../src/network/framing.ts';
import { temporaryFolder } from './umbra.fixture.ts';
import {
  consoleByteAt,
  defaultGuest,
  diskBytes,
  frameNumber,
  guestMac,
  type VmGuest,
  vmGuestKernel,
} from './vm-guest.fixture.ts';

const program = join(import.meta.dirname, '../../src/host/vm/main.ts');
const waitMsMax = 20_000;

/** Until it is so; what it is, if that is something. */
export async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + waitMsMax;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    assert.ok(performance.now() < deadline, `not within ${waitMsMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** The center's part: who may be live. */
export class TestArbiter {
  readonly decisions: { readonly at: number; readonly ask: Ask; readonly granted: boolean }[] = [];
  entry: ArbiterEntry = newRecord(1, ['a']);
  answering = true;
  /** Hosts that get no answer. */
  readonly revoked = new Set<string>();
  readonly #server: HttpsServer;

  constructor({ caFile, certificateFile, keyFile }: DaemonCredentials) {
    const [ca, cert, key] = [caFile, certificateFile, keyFile].map((file) => readFileSync(file));
    // As the center: ended certificates are looked at, not refused.
    const trust = { ca: ca!, cert: cert!, key: key!, requestCert: true, rejectUnauthorized: false };
    this.#server = createHttps({ ...trust, minVersion: 'TLSv1.3' }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (!this.answering) return response.destroy();
        const ask = JSON.parse(Buffer.concat(chunks).toString()) as Ask;
        if (this.revoked.has(ask.member.host)) return response.writeHead(403).end();
        const { entry, reply } = decide(this.entry, ask);
        this.entry = entry;
        this.decisions.push({ at: nowUs(), ask, granted: reply.granted });
        response.end(JSON.stringify(reply));
        return undefined;
      });
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}/arbiter`;
  }

  /** The store is put back to what it was. */
  restore(backup: ArbiterEntry): void {
    this.entry = beginEpoch(backup, this.entry.record.epoch + 1, []);
  }

  granted(kind: Ask['operation']['kind']): { readonly at: number } | undefined {
    return this.decisions.find(({ ask, granted }) => granted && ask.operation.kind === kind);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export interface SeenFrame {
  readonly at: number;
  readonly frame: Uint8Array;
}

/** One host: a switch, a folder, credentials. */
export class TestHost {
  readonly id: string;
  tier: Tier = 'auto';
  readonly folder: string;
  readonly credentials: DaemonCredentials;
  readonly frames: SeenFrame[] = [];
  readonly hellos: { readonly at: number; readonly hello: SwitchHello }[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #switch: Server;

  constructor(id: string, folder: string, credentials: DaemonCredentials) {
    this.id = id;
    this.folder = join(folder, `host-${id}`);
    this.credentials = credentials;
    mkdirSync(this.folder);
    this.#switch = createServer((socket) => this.#plugged(socket)).listen(this.switchSocket);
  }

  get switchSocket(): string {
    return join(this.folder, 'switch.sock');
  }

  get diskPath(): string {
    return join(this.folder, 'disk-0.raw');
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#switch.close();
  }

  #plugged(socket: Socket): void {
    this.#sockets.add(socket);
    const decoder = new FrameDecoder(65_550, { bit: switchControlBit, bytesMax: 65_536 });
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk) => {
      decoder.push(chunk, (message, isControl) => {
        const at = nowUs();
        if (!isControl) this.frames.push({ at, frame: message.slice() });
        else this.hellos.push({ at, hello: JSON.parse(Buffer.from(message).toString()) });
      });
    });
  }
}

/** One VM process and all that it has said. */
export class TestVm {
  readonly host: TestHost;
  readonly child: ChildProcess;
  readonly reports: Readonly<Record<string, unknown>>[] = [];
  readonly failures: Extract<FromVm, { kind: 'failed' }>[] = [];
  readonly console: { readonly offset: number; readonly bytes: Buffer; readonly at: number }[] = [];
  status: VmStatus | undefined;
  log = '';
  gone = false;

  constructor(host: TestHost, launch: VmLaunch) {
    this.host = host;
    this.child = fork(program, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', (chunk: Buffer) => {
        this.log += chunk.toString();
      });
    }
    this.child.on('message', (message) => this.#hear(message as FromVm));
    this.child.once('exit', () => {
      this.gone = true;
    });
    this.tell(launch);
  }

  tell(message: ToVm): void {
    if (this.child.connected) this.child.send(message, () => {});
  }

  reported(kind: string): Readonly<Record<string, unknown>> | undefined {
    return this.reports.find((report) => report['kind'] === kind);
  }

  async ended(): Promise<NonNullable<VmStatus['ended']>> {
    return until(`${this.host.id} ends`, () => this.gone && this.status?.ended);
  }

  kill(): void {
    if (!this.gone) this.child.kill('SIGKILL');
  }

  #hear(message: FromVm): void {
    if (message.kind === 'status') this.status = message.status;
    else if (message.kind === 'report') this.reports.push(message.report);
    else if (message.kind === 'failed') this.failures.push(message);
    else {
      const bytes = Buffer.from(message.bytes, 'base64');
      this.console.push({ offset: Number(message.offset), bytes, at: nowUs() });
    }
  }
}

export interface HostsOptions {
  readonly guest?: Partial<VmGuest>;
  readonly memoryBytes?: number;
}

export class TestHosts {
  readonly authority: TestAuthority;
  readonly arbiter: TestArbiter;
  readonly a: TestHost;
  readonly b: TestHost;
  readonly vms: TestVm[] = [];
  readonly spec: VmSpec;
  readonly #folder: { readonly path: string; remove(): void };

  private constructor(
    folder: { readonly path: string; remove(): void },
    authority: TestAuthority,
    credentials: readonly DaemonCredentials[],
    { guest, memoryBytes = 16 << 20 }: HostsOptions,
  ) {
    const whole = { ...defaultGuest, ...guest };
    this.#folder = folder;
    this.authority = authority;
    this.arbiter = new TestArbiter(credentials[0]!);
    this.a = new TestHost('a', folder.path, credentials[1]!);
    this.b = new TestHost('b', folder.path, credentials[2]!);
    mkdirSync(this.#image);
    const file = (path: string, bytes: Uint8Array) => {
      writeFileSync(join(this.#image, path), bytes);
      return { path, sha256: createHash('sha256').update(bytes).digest('hex') };
    };
    const kernel = file('Image', vmGuestKernel(whole));
    const image = { kernel, initrd: file('initrd', new Uint8Array(16)), append: '' };
    writeFileSync(join(this.#image, 'image.json'), JSON.stringify(image));
    this.spec = {
      id: 'vm-1',
      name: 'test',
      number: 1,
      image: 'test',
      imageDigest: '',
      cpus: 1,
      memoryBytes,
      mac: guestMac,
      disks: whole.writes > 0 ? [{ bytes: diskBytes }] : [],
      epochOffset: '0',
      randomSeed: '00'.repeat(32),
    };
  }

  static async start(options: HostsOptions = {}): Promise<TestHosts> {
    const folder = temporaryFolder();
    const authority = await TestAuthority.create(folder.path);
    const credentials: DaemonCredentials[] = [];
    for (const id of [centerName, 'a', 'b']) credentials.push(await authority.issue(id));
    const hosts = new TestHosts(folder, authority, credentials, options);
    await hosts.arbiter.listen();
    return hosts;
  }

  get #image(): string {
    return join(this.#folder.path, 'image');
  }

  launch(host: TestHost, role: VmLaunch['role'], own: Partial<VmLaunch> = {}): TestVm {
    const { caFile, certificateFile, keyFile } = host.credentials;
    const vm = new TestVm(host, {
      kind: 'launch',
      vm: this.spec,
      tier: host.tier,
      hostId: host.id,
      imageDirectory: this.#image,
      directory: host.folder,
      switchSocket: host.switchSocket,
      logAddress: '127.0.0.1',
      credentials: { caFile, certificateFile, keyFile },
      arbiterUrls: [this.arbiter.url],
      role,
      ...own,
    });
    this.vms.push(vm);
    return vm;
  }

  /** Another certificate in the place of a host's, and its VM processes are told. */
  async renew(host: TestHost, endsInMs?: number): Promise<void> {
    const folder = dirname(host.credentials.certificateFile);
    await this.authority.issue(host.id, folder, endsInMs === undefined ? {} : { endsInMs });
    for (const vm of this.vms) if (vm.host === host) vm.tell({ kind: 'renewed' });
  }

  /** The machine is powered on, and listens for a shadow. */
  async live(host = this.a): Promise<TestVm> {
    const vm = this.launch(host, { kind: 'live', fenced: false, acceptStale: false });
    await until('the VM is live', () => vm.status?.role === 'live' && vm.status.logPort);
    return vm;
  }

  /** A shadow of it on the other host. @param port where to find the primary, if not where it is */
  shadow(primary: TestVm, port = primary.status!.logPort!): TestVm {
    const host = primary.host === this.a ? this.b : this.a;
    primary.tell({ kind: 'protect', shadowHost: host.id });
    const address = '127.0.0.1';
    return this.launch(host, { kind: 'shadow', primaryHost: primary.host.id, address, port });
  }

  async protected(primary: TestVm): Promise<void> {
    await until('the pair is protected', () => primary.status?.ftState === 'running');
  }

  async pair(): Promise<{ readonly primary: TestVm; readonly shadow: TestVm }> {
    const primary = await this.live();
    const shadow = this.shadow(primary);
    await this.protected(primary);
    return { primary, shadow };
  }

  /** All console bytes by offset: each is what the guest wrote, none is missing, none came twice. */
  checkConsole(): number {
    const said = new Map<number, number>();
    for (const { console } of this.vms) {
      for (const { offset, bytes } of console) {
        for (const [index, byte] of bytes.entries()) {
          assert.equal(byte, consoleByteAt(offset + index), `byte ${offset + index}`);
          said.set(offset + index, (said.get(offset + index) ?? 0) + 1);
        }
      }
    }
    for (let at = 0; at < said.size; at++) assert.ok(said.has(at), `byte ${at} is missing`);
    return said.size;
  }

  /**
   * What the former primary said behind the claim had been acknowledged: the copy that is live knows
   * it, and sends it again itself. (A real switch drops it: its generation is the older one.)
   */
  checkLateFrames(live: TestVm): void {
    const claimed = this.arbiter.granted('claim')!.at;
    const former = live.host === this.a ? this.b : this.a;
    const first = frameNumber(live.host.frames[0]!.frame);
    const resent = Number(live.reported('went-live')!['resent']);
    for (const { at, frame } of former.frames) {
      if (at < claimed) continue;
      const number = frameNumber(frame);
      assert.ok(number < first + resent, `${number} after ${first}, ${resent} sent again`);
    }
  }

  async close(): Promise<void> {
    for (const vm of this.vms) vm.kill();
    await until('all processes are gone', () => this.vms.every(({ gone }) => gone));
    this.a.close();
    this.b.close();
    this.arbiter.close();
    this.#folder.remove();
  }
}

/** Hosts for one test, closed whatever comes; what their VM processes have logged is told. */
export async function withHosts(
  t: TestContext,
  guest: Partial<VmGuest>,
  act: (hosts: TestHosts) => Promise<void>,
): Promise<void> {
  const hosts = await TestHosts.start({ guest });
  try {
    await act(hosts);
  } finally {
    for (const { host, log } of hosts.vms) if (log !== '') t.diagnostic(`${host.id}: ${log}`);
    await hosts.close();
  }
}
