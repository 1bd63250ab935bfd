/**
 * One VM process as its daemon sees it.
 *
 *   preparing (its image is fetched) -> running -> ended
 *
 * Orders of the center go to the process as they come; those that come before it runs wait for it.
 * What it says is kept (its status) and passed on. Invariant: the last status says `ended` if and
 * only if the copy never runs again; a process that goes without a word is reported as ended by
 * whoever sees it go, which is here.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DaemonMessage, VmSpec, VmStatus } from '../api/agent.ts';
import { AssertionFailed } from '../base/assert.ts';
import { UmbraError } from '../base/errors.ts';
import { Alarm, nowUs } from './clock.ts';
import { giveWay } from './vm/priority.ts';
import type { FromVm, ToVm, VmLaunch } from './vm/protocol.ts';

/** How long a process that has ended its copy, or shall end, may take to go. */
const LEAVE_US_MAX = 5_000_000;
/** How vm/main.ts ends a process that could not start. */
const FAILED_TO_START = 1;

/** The sources as they are, or what the build made of them. */
const program = fileURLToPath(new URL(`./vm/main${extname(import.meta.url)}`, import.meta.url));

export type VmRole = VmLaunch['role'];

const hostStopped = { kind: 'host-stopped', text: 'Its host has stopped.' } as const;
const dismissed = { kind: 'dismissed', text: 'It was dismissed.' } as const;

/** What a process is told, not asked. */
const tidings: ReadonlySet<ToVm['kind']> = new Set(['trunk', 'arbiters', 'standing', 'renewed']);

/**
 * glibc's malloc gives free memory back, of an operator's own choice if there is one (mallopt(3)).
 * Left to itself it raises both bounds to twice the largest buffer that was ever freed, which here is
 * a guest's kernel: 40 to 50 MB a process stayed that nobody used. Elsewhere nobody reads them.
 */
const returnsMemory = {
  MALLOC_TRIM_THRESHOLD_: String(8 << 20),
  MALLOC_MMAP_THRESHOLD_: String(1 << 20),
} as const;

/**
 * Half of V8's own new space, in MB. Frames and messages on their way are small objects with large
 * buffers, and 64 MB of buffers make V8 collect all of its heap: a protected VM that receives came
 * there before its new space was full, three times a second. Now that is collected first, for little.
 */
const collectsYoung = ['--max-semi-space-size=8'];

export interface SlotOwner {
  /** Gives the launch once everything is there that it names. */
  readonly prepare: (spec: VmSpec, role: VmRole) => Promise<VmLaunch>;
  readonly tell: (message: DaemonMessage) => void;
  /** The process is gone, or has never been: a new one may be started. */
  readonly vacated: (slot: VmSlot) => void;
  /** The program, for tests. */
  readonly program?: string;
  /** What executes it, if not the Node that executes this. */
  readonly node?: string;
}

export class VmSlot {
  readonly spec: VmSpec;
  readonly role: VmRole;
  readonly #owner: SlotOwner;
  readonly #kill = new Alarm(() => this.#child?.kill('SIGKILL'));
  #child: ChildProcess | undefined;
  #vacant = false;
  #hostStops = false;
  #dismissed = false;
  #status: VmStatus;
  #waiting: ToVm[] = [];
  #lastOrder = 'start';
  /** What is said on the console waits for the end of what was said before, and is in it. */
  #consoleHeld = false;
  /** What the process said of itself before it went. */
  #failure: { code: string; text: string } | undefined;

  constructor(spec: VmSpec, role: VmRole, owner: SlotOwner) {
    this.spec = spec;
    this.role = role;
    this.#owner = owner;
    this.#status = startingStatus(spec.id);
    void this.#start();
  }

  get status(): VmStatus {
    return this.#status;
  }

  /** Whether the process is gone. */
  get vacant(): boolean {
    return this.#vacant;
  }

  order(message: ToVm): void {
    if (this.#vacant) return;
    if (!tidings.has(message.kind)) this.#lastOrder = message.kind;
    const ends = message.kind === 'dismiss' || message.kind === 'stop';
    if (this.#child !== undefined) this.#send(message);
    else if (!ends) this.#waiting.push(message);
    else this.#leave({ kind: 'dismissed', text: 'It was stopped before it ran.' });
    if (message.kind === 'dismiss') {
      this.#dismissed = true;
      this.#kill.set(nowUs() + LEAVE_US_MAX);
    }
  }

  /**
   * A center is there that may not have heard what the console has shown: first the end of that, then
   * what comes.
   */
  sayConsole(): void {
    if (this.#vacant || this.#child === undefined) return;
    this.#consoleHeld = true;
    this.#send({ kind: 'sayConsole' });
  }

  /** Ends the process; a protected VM goes on elsewhere. */
  end(): void {
    if (this.#vacant) return;
    this.#hostStops = true;
    if (this.#child === undefined) {
      this.#leave(hostStopped);
      return;
    }
    // A VM process ends when the channel closes.
    if (this.#child.connected) this.#child.disconnect();
    this.#kill.set(nowUs() + LEAVE_US_MAX);
  }

  async #start(): Promise<void> {
    try {
      const launch = await this.#owner.prepare(this.spec, this.role);
      if (this.#vacant) return;
      this.#run(launch);
    } catch (error) {
      if (error instanceof AssertionFailed) throw error;
      if (this.#vacant) return;
      const why = startFailure(error as Error);
      this.#fail(why.code, why.message, why.remedy);
      this.#leave({ kind: why.code, text: why.message });
    }
  }

  #run(launch: VmLaunch): void {
    mkdirSync(launch.directory, { recursive: true, mode: 0o700 });
    const log = openSync(join(launch.directory, 'log'), 'a', 0o600);
    const child = fork(this.#owner.program ?? program, [], {
      serialization: 'json',
      stdio: ['ignore', log, log, 'ipc'],
      execArgv: collectsYoung,
      env: { ...returnsMemory, ...process.env },
      ...(this.#owner.node !== undefined && { execPath: this.#owner.node }),
    });
    closeSync(log);
    if (launch.role.kind === 'shadow') giveWay(child.pid);
    this.#child = child;
    child.on('message', (message) => this.#receive(message as FromVm));
    child.on('error', (error) => this.#fail('vm-process-failed', error.message, ''));
    // What it said last is read before the channel says that it is closed.
    child.once('disconnect', () => this.#goneOnce(child));
    child.once('exit', () => this.#goneOnce(child));
    this.#send(launch);
    for (const message of this.#waiting.splice(0)) this.#send(message);
  }

  #send(message: ToVm): void {
    if (this.#child?.connected) this.#child.send(message, () => {});
  }

  #receive(message: FromVm): void {
    const vm = this.spec.id;
    switch (message.kind) {
      case 'status':
        this.#say(message.status);
        break;
      case 'report':
        this.#owner.tell({ kind: 'report', vm, report: message.report });
        break;
      case 'console':
        if (message.isTail) this.#consoleHeld = false;
        if (this.#consoleHeld || message.bytes === '') break;
        this.#owner.tell({ kind: 'console', vm, offset: message.offset, bytes: message.bytes });
        break;
      case 'failed':
        this.#fail(message.code, message.message, message.remedy);
        break;
    }
  }

  #say(status: VmStatus): void {
    this.#status = status;
    this.#owner.tell({ kind: 'status', vms: [status] });
    if (status.role === 'ended') this.#kill.set(nowUs() + LEAVE_US_MAX);
  }

  #fail(code: string, message: string, remedy: string): void {
    this.#failure = { code, text: message };
    const command = this.#lastOrder;
    this.#owner.tell({ kind: 'failed', vm: this.spec.id, command, code, message, remedy });
  }

  #goneOnce(child: ChildProcess): void {
    if (child.connected || (child.exitCode === null && child.signalCode === null)) return;
    if (this.#hostStops || this.#dismissed) {
      this.#leave(this.#hostStops ? hostStopped : dismissed);
      return;
    }
    const how =
      child.signalCode === null ? `with code ${child.exitCode}` : `by ${child.signalCode}`;
    // A refused order is no reason to end; a start that failed ends the process with this code.
    const failure = child.exitCode === FAILED_TO_START ? this.#failure : undefined;
    const text = failure?.text ?? `The VM process ended ${how}, without a word.`;
    this.#leave({ kind: failure?.code ?? 'process-lost', text });
  }

  #leave(ended: NonNullable<VmStatus['ended']>): void {
    if (this.#vacant) return;
    this.#vacant = true;
    this.#kill.clear();
    this.#waiting = [];
    if (this.#status.role !== 'ended') this.#say({ ...this.#status, role: 'ended', ended });
    this.#kill.clear();
    this.#owner.vacated(this);
  }
}

/** A full disk or too many processes are this VM's misfortune, not the end of its neighbours. */
function startFailure(error: Error): UmbraError {
  if (error instanceof UmbraError) return error;
  return new UmbraError(
    'vm-start-failed',
    `the VM process could not be started: ${error.message}`,
    'Look at the disk space and the limits of the host, and start the VM again.',
    { cause: error },
  );
}

function startingStatus(vm: string): VmStatus {
  return {
    vm,
    pid: 0,
    process: '',
    role: 'starting',
    count: '0',
    epoch: 0,
    generation: 0,
    ftState: 'notConfigured',
    lagMs: 0,
    logBytesSent: 0,
    fingerprintsCompared: 0,
    divergences: 0,
  };
}
