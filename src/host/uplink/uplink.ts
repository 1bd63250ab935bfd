/**
 * A host's way onto a real LAN: the uplink of its switch on one side, a TAP device on the other.
 *
 * From the switch: what guests of this host send to the LAN, written at once, a frame a call. From
 * the device: all frames that wait there, in one turn of the Ethernet.
 *
 * **After a standstill it is silent.** Frames on a LAN carry no generation. A host that was stopped
 * and goes on may still have frames of a guest that has gone live elsewhere meanwhile; on a trunk
 * they are dropped, but a bridge would look for the guest here again. So a process that finds that
 * it has stood still for nearly as long as shadows wait sends nothing to the LAN until word of
 * another host or the center has had time to come. What is dropped, a guest's peer asks for again.
 */
import { UmbraError } from '../../base/errors.ts';
import { FRAME_BYTES_MAX } from '../../network/frames/ethernet.ts';
import type { Port } from '../../network/switch.ts';
import { Alarm, nowUs } from '../clock.ts';
import type { Ethernet } from '../ethernet.ts';
import type { Log } from '../log.ts';
import type { LanDevice } from './tap-device.ts';

/** The most that closing has to wait, and a process that does nothing wakes up so often. */
const WAIT_MS = 200;
const FRAMES_PER_TURN = 256;
const BEAT_US = 100_000;
/** Less than a shadow's patience (lockstep/timing.ts) by a heartbeat and a delay. */
const STANDSTILL_US = 350_000;
/** Two tries of a trunk to connect, with their handshakes. */
const SILENCE_US = 500_000;
const RETRY_US = 1_000_000;

export interface UplinkCounters {
  sent: number;
  received: number;
  /** Not taken by the device, or kept back after a standstill. */
  dropped: number;
}

export class Uplink {
  readonly counters: UplinkCounters = { sent: 0, received: 0, dropped: 0 };
  readonly #reopenDevice: () => LanDevice;
  readonly #ethernet: Ethernet;
  readonly #log: Log;
  readonly #port: Port;
  readonly #buffer = new Uint8Array(FRAME_BYTES_MAX);
  readonly #beat = new Alarm(() => this.#ethernet.turn((now) => this.#alive(now)));
  readonly #retry = new Alarm(() => this.#reopen());
  #device: LanDevice | undefined;
  #aliveAt = nowUs();
  #silentUntil = 0;
  #closed = false;

  /** @param device open, the uplink's from now on. @param reopen for when it has been removed */
  constructor(device: LanDevice, reopen: () => LanDevice, ethernet: Ethernet, log: Log) {
    this.#device = device;
    this.#reopenDevice = reopen;
    this.#ethernet = ethernet;
    this.#log = log;
    this.#port = ethernet.addUplink({ deliver: (frame) => this.#send(frame) });
    this.#beat.set(this.#aliveAt + BEAT_US);
    void this.#receive(device);
    this.#say(device);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#beat.clear();
    this.#retry.clear();
    this.#ethernet.leave(this.#port);
    this.#device?.close();
  }

  #send(frame: Uint8Array): void {
    this.#watch(this.#ethernet.now);
    const isSilent = this.#ethernet.now < this.#silentUntil;
    if (!isSilent && this.#device?.write(frame)) this.counters.sent++;
    else this.counters.dropped++;
  }

  async #receive(device: LanDevice): Promise<void> {
    while (this.#device === device && !this.#closed) {
      await device.readable(WAIT_MS);
      if (this.#closed) return;
      try {
        this.#ethernet.turn((now) => this.#drain(device, now));
      } catch (error) {
        if (!(error instanceof UmbraError)) throw error;
        this.#lost(device, error);
      }
    }
  }

  #drain(device: LanDevice, now: number): void {
    this.#watch(now);
    for (let count = 0; count < FRAMES_PER_TURN; count++) {
      const length = device.read(this.#buffer);
      if (length === 0) return;
      this.counters.received++;
      this.#ethernet.switch.receive(this.#port, this.#buffer.subarray(0, length), now);
    }
  }

  #lost(device: LanDevice, error: UmbraError): void {
    this.#log.error(error.message);
    device.close();
    this.#device = undefined;
    this.#retry.set(nowUs() + RETRY_US);
  }

  #reopen(): void {
    if (this.#closed) return;
    try {
      const device = this.#reopenDevice();
      this.#device = device;
      void this.#receive(device);
      this.#say(device);
      this.#ethernet.turn((now) => this.#ethernet.announceAll(now));
    } catch {
      // Said once when it was lost.
      this.#retry.set(nowUs() + RETRY_US);
    }
  }

  #say({ name, bridge }: LanDevice): void {
    const where = bridge === undefined ? name : `${name}, a port of ${bridge}`;
    this.#log.info(`uplink at ${where}`);
  }

  #alive(now: number): void {
    this.#watch(now);
    this.#aliveAt = now;
    this.#beat.set(now + BEAT_US);
  }

  /** Looks at the clock before anything is sent. */
  #watch(now: number): void {
    const standstillUs = now - this.#aliveAt;
    if (standstillUs <= STANDSTILL_US) return;
    this.#aliveAt = now;
    this.#silentUntil = now + SILENCE_US;
    const ms = Math.round(standstillUs / 1000);
    this.#log.warn(`this process stood still for ${ms} ms; its uplink is silent for a moment`);
  }
}
