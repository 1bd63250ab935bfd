/**
 * The Ethernet of one daemon: its switch, the sockets around it, and the VMs that are live behind
 * it (DESIGN 7).
 *
 * Everything that comes from the event loop enters by `turn`: the work fills batches, and at the
 * end of the same turn each goes out in one write. So a frame crosses the daemon without waiting
 * for any timer, and many frames cost one system call. Between turns nothing waits but what a slow
 * peer has not read.
 */
import type { Duplex } from 'node:stream';
import { Announcer, mergeAddresses } from '../network/announcements.ts';
import type { FrameBatch } from '../network/framing.ts';
import {
  type Port,
  type PortGeneration,
  type PortSink,
  Switch,
  type VmNumber,
} from '../network/switch.ts';
import type { TrunkAnnouncement, VmAddresses } from '../network/trunk.ts';
import type { Mac } from '../network/wire.ts';
import { Alarm, nowUs } from './clock.ts';
import { Outlet } from './outlet.ts';

const AGEING_INTERVAL_US = 10_000_000;

/** A VM, or with number 0 infrastructure, that is live behind this switch. */
interface Resident {
  readonly port: Port;
  readonly vm: VmNumber;
  generation: PortGeneration;
  addresses: readonly VmAddresses[];
  announcer: Announcer | undefined;
}

/** Who is to be told that a VM is here now: the trunks. */
export type Tell = (announcement: TrunkAnnouncement) => void;

export class Ethernet {
  readonly switch = new Switch();
  readonly #outlets = new Set<Outlet>();
  readonly #residents = new Map<Port, Resident>();
  /** What was said of VMs elsewhere: a copy that goes live here may not have heard its guest speak. */
  readonly #heard = new Map<VmNumber, readonly VmAddresses[]>();
  readonly #alarm = new Alarm(() => this.turn((now) => this.#wake(now)));
  #now = nowUs();
  #ageAt = this.#now + AGEING_INTERVAL_US;
  #tell: Tell = () => {};
  #turnEnds: (now: number) => void = () => {};

  constructor() {
    this.#alarm.set(this.#ageAt);
  }

  /** Trunks say here how announcements reach the other switches. */
  tellTrunks(tell: Tell): void {
    this.#tell = tell;
  }

  /** The LAN that this machine is on. @returns the port at which its frames come in */
  addUplink(sink: PortSink): Port {
    return this.switch.addUplink(sink);
  }

  /** The gateway's stack ends its batch here, before anything is written. */
  atTurnEnd(turnEnds: (now: number) => void): void {
    this.#turnEnds = turnEnds;
  }

  /** The time of the turn under way: one for all that happens in it. */
  get now(): number {
    return this.#now;
  }

  turn(work: (now: number) => void): void {
    const now = nowUs();
    this.#now = now;
    try {
      work(now);
    } finally {
      // A peer that sent rubbish ends its own connection; what others have sent still leaves.
      this.#turnEnds(now);
      for (const outlet of this.#outlets) outlet.flush();
    }
  }

  /** Writes `batch` to `socket` at the end of each turn, until the socket closes. */
  connect(socket: Duplex, batch: FrameBatch): void {
    const outlet = new Outlet(socket, batch);
    this.#outlets.add(outlet);
    socket.once('close', () => this.#outlets.delete(outlet));
  }

  /**
   * What is behind `port` is live in this generation. Every switch learns the place at once; where
   * addresses are known, this is a go-live, and everybody hears of it in five rounds. A LAN hears
   * of it in any case: its switches want to know where the MAC is, even if nobody knows more.
   * @returns false if a higher generation is known: the port stays silent then
   */
  goLive(
    port: Port,
    generation: PortGeneration,
    addresses: readonly VmAddresses[],
    now: number,
  ): boolean {
    const { vm } = port;
    this.switch.setGeneration(port, generation);
    const macs = addresses.map(({ mac }) => mac);
    if (!this.switch.place(vm, generation, macs, port, now)) {
      this.#residents.delete(port);
      return false;
    }
    const before = this.#residents.get(port);
    const all = mergeAddresses(this.#heard.get(vm) ?? [], addresses);
    if (before?.generation === generation) {
      before.addresses = all;
      this.#tell(announcementOf(before));
      return true;
    }
    const known = all.some(({ ipv4, ipv6 }) => ipv4.length > 0 || ipv6.length > 0);
    const announcer = known || this.switch.hasUplink ? new Announcer(all, now) : undefined;
    const resident = { port, vm, generation, addresses: all, announcer };
    this.#residents.set(port, resident);
    this.#tell(announcementOf(resident));
    this.#announce(now);
    return true;
  }

  /** Another switch has a VM now, and says what is known of it: we may have it next. */
  heard({ vm, addresses }: TrunkAnnouncement): void {
    if (vm !== 0) this.#heard.set(vm, mergeAddresses(this.#heard.get(vm) ?? [], addresses));
  }

  /** A LAN is there again: it hears where everybody is. */
  announceAll(now: number): void {
    for (const resident of this.#residents.values()) {
      resident.announcer = new Announcer(resident.addresses, now);
    }
    this.#announce(now);
  }

  /** The socket behind the port has closed. */
  leave(port: Port): void {
    this.#residents.delete(port);
    this.switch.remove(port);
  }

  /** What a trunk that has just opened is told. */
  announcements(): TrunkAnnouncement[] {
    return [...this.#residents.values()].map(announcementOf);
  }

  /**
   * The center says where a VM is now. `at`: the trunk that leads there, or undefined while there
   * is none; for a VM of our own the place is the port that it has here.
   *
   * It moves the place and raises no generation: at the arbiter a generation also counts changes of
   * who may go live next, while a copy's frames keep the one in which it went live itself.
   */
  place(
    vm: VmNumber,
    generation: PortGeneration,
    mac: Mac,
    at: 'here' | Port | undefined,
    now: number,
  ): void {
    if (this.switch.isStale(vm, generation)) return;
    const known = this.switch.generationOf(vm);
    const own = [...this.#residents.values()].find(
      (resident) => resident.vm === vm && resident.generation === known,
    );
    const port = at === 'here' ? own?.port : at;
    if (port !== undefined) this.switch.place(vm, known, [mac], port, now);
  }

  close(): void {
    this.#alarm.clear();
  }

  #wake(now: number): void {
    if (now >= this.#ageAt) {
      this.switch.age(now);
      this.#ageAt = now + AGEING_INTERVAL_US;
    }
    this.#announce(now);
  }

  /** The rounds that are due, through the VM's own port as if the guest had sent them. */
  #announce(now: number): void {
    let next = this.#ageAt;
    for (const resident of this.#residents.values()) {
      const { announcer, port } = resident;
      if (announcer === undefined) continue;
      for (const frame of announcer.due(now)) this.switch.receive(port, frame, now);
      if (announcer.nextAt === undefined) resident.announcer = undefined;
      else next = Math.min(next, announcer.nextAt);
    }
    this.#alarm.set(next);
  }
}

function announcementOf({ vm, generation, addresses }: Resident): TrunkAnnouncement {
  return { kind: 'announcement', vm, generation, addresses };
}
