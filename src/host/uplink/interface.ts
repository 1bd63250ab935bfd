/**
 * What is asked of Linux about its network interfaces, by ioctl on a socket (netdevice(7)), so that
 * no other program is needed. Each call returns 0, or the error's number.
 */
import { closeSync } from 'node:fs';
import { type Libc, libc } from './libc.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWADDR = 0x8924;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const SIOCBRADDIF = 0x89a2;

const IFF_UP = 1;

/** `struct ifreq`: a name of 16 bytes, then what the call is about. */
const IFREQ_BYTES = 40;
const VALUE_AT = 16;
/** The longest name, without the zero at its end. */
export const INTERFACE_NAME_MAX = 15;

export class InterfaceRequest {
  readonly bytes = new Uint8Array(IFREQ_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  constructor(name: string) {
    this.bytes.set(new TextEncoder().encode(name).subarray(0, INTERFACE_NAME_MAX));
  }

  /** The name, as the kernel may have changed it. */
  get name(): string {
    const end = this.bytes.indexOf(0);
    return new TextDecoder().decode(this.bytes.subarray(0, end));
  }

  get flags(): number {
    return this.#view.getUint16(VALUE_AT, true);
  }

  set flags(flags: number) {
    this.#view.setUint16(VALUE_AT, flags, true);
  }

  get value(): number {
    return this.#view.getInt32(VALUE_AT, true);
  }

  set value(value: number) {
    this.#view.setInt32(VALUE_AT, value, true);
  }

  /** The first byte of a `struct sockaddr` behind its family. */
  set firstMacByte(byte: number) {
    this.bytes[VALUE_AT + 2] = byte;
  }
}

/** Questions and orders about interfaces of this process's network namespace. */
export class Interfaces {
  readonly #libc: Libc = libc();
  readonly #socket: number;

  constructor() {
    this.#socket = this.#libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#socket < 0) throw new Error(`no socket: error ${this.#libc.errno()}`);
  }

  close(): void {
    closeSync(this.#socket);
  }

  exists(name: string): boolean {
    return this.#ask(SIOCGIFINDEX, new InterfaceRequest(name)) === 0;
  }

  isUp(name: string): boolean {
    const request = new InterfaceRequest(name);
    return this.#ask(SIOCGIFFLAGS, request) === 0 && (request.flags & IFF_UP) !== 0;
  }

  setUp(name: string): number {
    const request = new InterfaceRequest(name);
    const failed = this.#ask(SIOCGIFFLAGS, request);
    if (failed !== 0) return failed;
    request.flags |= IFF_UP;
    return this.#ask(SIOCSIFFLAGS, request);
  }

  /** Gives an interface the MTU of another one. */
  copyMtu(from: string, to: string): number {
    const request = new InterfaceRequest(from);
    const failed = this.#ask(SIOCGIFMTU, request);
    if (failed !== 0) return failed;
    const own = new InterfaceRequest(to);
    own.value = request.value;
    return this.#ask(SIOCSIFMTU, own);
  }

  setFirstMacByte(name: string, byte: number): number {
    const request = new InterfaceRequest(name);
    const failed = this.#ask(SIOCGIFHWADDR, request);
    if (failed !== 0) return failed;
    request.firstMacByte = byte;
    return this.#ask(SIOCSIFHWADDR, request);
  }

  /** Makes an interface a port of a bridge. EOPNOTSUPP: that is no bridge. */
  addToBridge(bridge: string, port: string): number {
    const index = new InterfaceRequest(port);
    const failed = this.#ask(SIOCGIFINDEX, index);
    if (failed !== 0) return failed;
    const request = new InterfaceRequest(bridge);
    request.value = index.value;
    return this.#ask(SIOCBRADDIF, request);
  }

  #ask(what: number, request: InterfaceRequest): number {
    return this.#libc.ioctl(this.#socket, what, request.bytes) === 0 ? 0 : this.#libc.errno();
  }
}
