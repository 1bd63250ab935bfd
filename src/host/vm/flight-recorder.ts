/**
 * A VM's flight recorder: a recording of which the last minutes are there at any moment, on the host
 * where the VM is live, and which is kept when something has happened to the guest.
 *
 *   ring --(panic, failure, watchdog; somebody asks)--> a recording of its own, and a new ring
 *
 * From: what the live copy lets go (console, power), the watchdog, orders. To: `incident` reports, and
 * recordings (vm-recordings.ts). An incident is kept a moment after its sign, so that the guest's own
 * account of it is in it, or when the VM ends, if that is sooner. Not more than a few of them within
 * an hour: a guest that fails again and again is not better known by more of the same.
 */
import { randomBytes } from 'node:crypto';
import type { FlightStatus, Incident } from '../../api/agent.ts';
import type { Primary } from '../../lockstep/primary.ts';
import type { Output } from '../../machine/effects.ts';
import type { VmRecordings } from './vm-recordings.ts';

const settleMs = 2_000;
const againMs = 5_000;
const incidentsMax = 3;
const incidentsWithinMs = 3_600_000;
/** What Linux says on every console that it has. */
const panicText = 'Kernel panic - not syncing';

const ticksPerSecond = 1e7;

export interface FlightWish {
  readonly seconds: number;
  readonly bytesMax: number;
}

export class FlightRecorder {
  readonly #recordings: VmRecordings;
  readonly #report: (report: Readonly<Record<string, unknown>>) => void;
  #wish: FlightWish | undefined;
  #primary: Primary | undefined;
  #ring: string | undefined;
  /** When a ring that is not there may be tried again, milliseconds of the monotonic clock. */
  #notBefore = 0;
  #tail = '';
  #incident: (Incident & { readonly text: string }) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #incidents: number[] = [];

  constructor(
    recordings: VmRecordings,
    report: (report: Readonly<Record<string, unknown>>) => void,
  ) {
    this.#recordings = recordings;
    this.#report = report;
  }

  /** undefined: off. */
  get status(): FlightStatus | undefined {
    const wish = this.#wish;
    if (wish === undefined) return undefined;
    const figures = this.#ring === undefined ? undefined : this.#recordings.figuresOf(this.#ring);
    const { logBytes = 0, snapshotBytes = 0, bytesPerSecond = 0, guestSeconds = 0 } = figures ?? {};
    const now = { held: guestSeconds, bytes: logBytes + snapshotBytes };
    return { ...wish, ...now, bytesPerSecond: Math.round(bytesPerSecond) };
  }

  set(wish: FlightWish | undefined): void {
    const isSame = JSON.stringify(wish) === JSON.stringify(this.#wish);
    if (isSame) return;
    this.#wish = wish;
    this.#notBefore = 0;
    if (this.#ring !== undefined) this.#recordings.discard(this.#ring);
    this.#ring = undefined;
  }

  /** Called now and then: where one is wanted and none is there, it begins. */
  look(primary: Primary | undefined): void {
    const wish = this.#wish;
    this.#primary = primary;
    if (wish === undefined || primary === undefined || primary.ended !== undefined) return;
    if (this.#ring !== undefined && this.#recordings.isThere(this.#ring)) return;
    if (performance.now() < this.#notBefore) return;
    this.#notBefore = performance.now() + againMs;
    this.#ring = randomBytes(8).toString('hex');
    const { seconds: secondsMax, bytesMax } = wish;
    this.#recordings.start(primary, { id: this.#ring, name: 'flight', secondsMax, bytesMax });
  }

  /** What the live copy lets go. */
  output(output: Output): void {
    if (this.#wish === undefined) return;
    if (output.kind === 'power' && output.action === 'failed') {
      this.happened('failure', 'the guest has switched itself off for a failure');
    } else if (output.kind === 'console') this.#read(output.bytes);
  }

  #read(bytes: Uint8Array): void {
    const text = this.#tail + Buffer.from(bytes).toString('latin1');
    const at = text.indexOf(panicText);
    if (at >= 0) {
      const [line] = text.slice(at, at + 200).split(/[\r\n]/);
      this.#tail = '';
      return this.happened('panic', line!);
    }
    this.#tail = text.slice(1 - panicText.length);
  }

  /**
   * @param text what has been seen, for people
   * @param forSeconds how long it had been so by then
   */
  happened(kind: Incident['kind'], text: string, forSeconds = 0): void {
    if (this.#wish === undefined || this.#incident !== undefined) return;
    const now = performance.now();
    this.#incidents = this.#incidents.filter((at) => now - at < incidentsWithinMs);
    if (this.#incidents.length >= incidentsMax) {
      this.#report({ kind: 'incident', incident: kind, text, recording: null });
      return;
    }
    this.#incidents.push(now);
    const at = Number(this.#primary?.machine.time ?? 0n) / ticksPerSecond;
    this.#incident = { kind, text, at, forSeconds };
    this.#timer = setTimeout(() => void this.#keepIncident(), settleMs);
  }

  /** @param work by which its end is told */
  async keep(name: string, work: string): Promise<void> {
    const id = this.#ring;
    const isKept = await this.#keepRing(name, 'asked for');
    if (isKept) return this.#report({ kind: 'work-done', id: work, recording: id });
    const text = 'The flight recorder of the VM has nothing yet.';
    const remedy = 'Turn it on (umbra record flight VM --minutes M), or wait a moment.';
    this.#report({ kind: 'work-failed', id: work, code: 'flight-off', text, remedy });
  }

  /** The VM ends here: what has just happened is kept. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#incident !== undefined) await this.#keepIncident();
    this.#wish = undefined;
  }

  async #keepIncident(): Promise<void> {
    const { text, ...incident } = this.#incident!;
    const { kind } = incident;
    clearTimeout(this.#timer);
    const id = this.#ring;
    const time = new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');
    const name = `${kind}-${time}`;
    const isKept = await this.#keepRing(name, text, incident);
    this.#incident = undefined;
    this.#report({
      ...{ kind: 'incident', incident: kind, text, recording: isKept ? id : null },
      ...(isKept && { name }),
    });
  }

  async #keepRing(name: string, why: string, incident?: Incident): Promise<boolean> {
    const id = this.#ring;
    // One that is about to begin goes on doing so.
    if (id === undefined || this.#recordings.figuresOf(id) === undefined) return false;
    const kept = this.#recordings.keep(id, { name, why, ...(incident && { incident }) });
    this.#ring = undefined;
    this.#notBefore = 0;
    this.look(this.#primary);
    return kept;
  }
}
