/**
 * A TAP device (Linux, Documentation/networking/tuntap.rst): what is written to it the machine
 * receives as Ethernet frames on that interface, what the machine sends there is read.
 *
 * `--uplink` names a bridge or a TAP device. With a bridge a new TAP device becomes a port of it,
 * and is gone with this process, however that ends. A TAP device is used as it is: whoever made it
 * has put it where it belongs, and may have made it for a user without rights (`ip tuntap add ...
 * user NAME`).
 *
 * Invariant: no call blocks. A frame that the device cannot take now is lost, as on any wire.
 */
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { getSystemErrorName } from 'node:util';
import { UmbraError } from '../../base/errors.ts';
import { INTERFACE_NAME_MAX, InterfaceRequest, Interfaces } from './interface.ts';
import { type Libc, libc } from './libc.ts';

const TUN_PATH = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
/** Frames come as they are, without a header of the device's own. */
const IFF_NO_PI = 0x1000;
const POLLIN = 1;

/** The kernel puts the first free number in its place. */
const NEW_NAME = 'umbra%d';
/**
 * A bridge without a MAC of its own takes the lowest one among its ports; this byte keeps that from
 * being ours, so that the bridge's address stays as hosts come and go.
 */
const HIGHEST_LOCAL_MAC_BYTE = 0xfe;

const { EAGAIN, EBUSY, EINTR, EINVAL, EIO, EOPNOTSUPP, EPERM, EACCES } = os.constants.errno;

/** What an uplink needs of its device. */
export interface LanDevice {
  /** The interface's name. */
  readonly name: string;
  /** The bridge whose port it was made, or undefined. */
  readonly bridge: string | undefined;
  /** Resolves when frames can be read, or after so many milliseconds. Never two at a time. */
  readable(milliseconds: number): Promise<void>;
  /**
   * @returns the length of the frame now in `bytes`; 0 if there is none
   * @throws UmbraError `uplink-lost` if the device has been removed
   */
  read(bytes: Uint8Array): number;
  /** @returns whether the device took it */
  write(frame: Uint8Array): boolean;
  close(): void;
}

export class TapDevice implements LanDevice {
  readonly name: string;
  readonly bridge: string | undefined;
  readonly #libc: Libc;
  readonly #descriptor: number;
  /** `struct pollfd`: descriptor, events, what came. */
  readonly #pollEntry = new Uint8Array(8);
  #closed = false;

  private constructor(descriptor: number, name: string, bridge: string | undefined) {
    this.#libc = libc();
    this.#descriptor = descriptor;
    this.name = name;
    this.bridge = bridge;
    const view = new DataView(this.#pollEntry.buffer);
    view.setInt32(0, descriptor, true);
    view.setInt16(4, POLLIN, true);
  }

  /** @param name of a bridge or of a TAP device. @throws UmbraError */
  static open(name: string): TapDevice {
    libc();
    if (!/^[^\s/:%]+$/.test(name) || Buffer.byteLength(name) > INTERFACE_NAME_MAX) {
      throw new UmbraError(
        'uplink-name',
        `"${name}" cannot be the name of a network interface`,
        'Name a bridge or a TAP device of this machine (ip link).',
      );
    }
    const interfaces = new Interfaces();
    try {
      if (!interfaces.exists(name)) {
        throw new UmbraError(
          'uplink-missing',
          `this machine has no network interface ${name}`,
          `Make a bridge (ip link add name ${name} type bridge) or a TAP device (ip tuntap add ${name} mode tap), or name another one.`,
        );
      }
      return TapDevice.#openExisting(interfaces, name) ?? TapDevice.#addToBridge(interfaces, name);
    } finally {
      interfaces.close();
    }
  }

  /** @returns undefined if it is no TAP device */
  static #openExisting(interfaces: Interfaces, name: string): TapDevice | undefined {
    const descriptor = openTun();
    try {
      const request = new InterfaceRequest(name);
      const failed = attach(descriptor, request);
      if (failed === EINVAL) {
        closeSync(descriptor);
        return undefined;
      }
      if (failed === EBUSY) {
        throw new UmbraError(
          'uplink-busy',
          `the TAP device ${name} is in use by another process`,
          'Give each host a TAP device of its own, or name the bridge.',
        );
      }
      if (failed !== 0) throw failure(failed, `the TAP device ${name} cannot be used`);
      if (!interfaces.isUp(name)) {
        const down = interfaces.setUp(name);
        if (down !== 0) throw failure(down, `the TAP device ${name} is down`);
      }
      return new TapDevice(descriptor, name, undefined);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  static #addToBridge(interfaces: Interfaces, bridge: string): TapDevice {
    if (!interfaces.isUp(bridge)) {
      throw new UmbraError(
        'uplink-down',
        `the interface ${bridge} is down, nothing would pass`,
        `Bring it up: ip link set ${bridge} up.`,
      );
    }
    const descriptor = openTun();
    try {
      const request = new InterfaceRequest(NEW_NAME);
      check(attach(descriptor, request), 'a TAP device cannot be made');
      const { name } = request;
      withoutIpv6(name);
      check(
        interfaces.setFirstMacByte(name, HIGHEST_LOCAL_MAC_BYTE),
        `${name} cannot have a MAC address`,
      );
      // A bridge takes the smallest MTU of its ports; ours is none to go by.
      const unequal = interfaces.copyMtu(bridge, name);
      const refused = interfaces.addToBridge(bridge, name);
      if (refused === EOPNOTSUPP) {
        throw new UmbraError(
          'uplink-unsuitable',
          `${bridge} is neither a bridge nor a TAP device of one queue`,
          `Make a bridge and put ${bridge} into it (ip link set ${bridge} master BRIDGE), then name the bridge.`,
        );
      }
      check(unequal, `${name} cannot have the MTU of ${bridge}`);
      check(refused, `${name} cannot become a port of the bridge ${bridge}`);
      check(interfaces.setUp(name), `${name} cannot be brought up`);
      return new TapDevice(descriptor, name, bridge);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  readable(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#libc.poll(this.#pollEntry, 1, milliseconds, () => resolve());
    });
  }

  read(bytes: Uint8Array): number {
    if (this.#closed) return 0;
    const length = this.#libc.read(this.#descriptor, bytes, bytes.length);
    if (length >= 0) return length;
    const number = this.#libc.errno();
    if (number === EAGAIN || number === EINTR) return 0;
    throw new UmbraError(
      'uplink-lost',
      `the TAP device ${this.name} has been removed (${nameOf(number)})`,
      'Make it again, or the bridge that it was a port of; the host takes it by itself.',
    );
  }

  write(frame: Uint8Array): boolean {
    if (this.#closed) return false;
    return this.#libc.write(this.#descriptor, frame, frame.length) === frame.length;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
  }
}

function attach(descriptor: number, request: InterfaceRequest): number {
  const { ioctl, errno } = libc();
  request.flags = IFF_TAP | IFF_NO_PI;
  return ioctl(descriptor, TUNSETIFF, request.bytes) === 0 ? 0 : errno();
}

function openTun(): number {
  try {
    return openSync(TUN_PATH, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    const { code, errno, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM')
      throw failure(-errno!, `${TUN_PATH} is closed to us`);
    throw new UmbraError(
      'uplink-no-tun',
      `${TUN_PATH} cannot be opened: ${message}`,
      'Load the module tun (modprobe tun); in a container, pass the device in.',
      { cause },
    );
  }
}

/** The machine itself has no business on this interface: no addresses, no router solicitations. */
function withoutIpv6(name: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
  } catch {
    // Without IPv6 there is nothing to switch off, and what it would send is only noise.
  }
}

const nameOf = (number: number): string => getSystemErrorName(-number);

function check(number: number, what: string): void {
  if (number !== 0) throw failure(number, what);
}

function failure(number: number, what: string): UmbraError {
  const why = nameOf(number);
  if (number === EPERM || number === EACCES) {
    return new UmbraError(
      'uplink-rights',
      `${what}: this process may not (${why})`,
      'Run the host as root or with CAP_NET_ADMIN, or have a TAP device made for its user: ip tuntap add NAME mode tap user USER.',
    );
  }
  return new UmbraError(
    'uplink-failed',
    `${what} (${why})`,
    number === EIO || number === EBUSY
      ? 'Look at the interface with ip -d link, and try again.'
      : 'Look at the interface with ip -d link and at the log of the kernel.',
  );
}
