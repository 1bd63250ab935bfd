/**
 * GDB's remote stub (GDB manual, appendix E): what a debugger asks, and the answers.
 *
 * From: packets of one debugger. To: a `DebugTarget`, and packets back. Harts are threads, hart n
 * being thread n + 1. One request is answered at a time, in order; only an interrupt overtakes.
 * Whatever is not understood is answered with an empty packet, as the protocol wants; what is wrong
 * with `E` and a number of errno.
 */
import type { Trap, Watch } from '../../machine/debug-traps.ts';
import {
  encodePacket,
  fromHex,
  hexOf,
  hexOfValue,
  PacketReader,
  packetBytesMax,
  type Received,
  valueOfHex,
} from './packets.ts';
import { registers, targetDescription } from './registers.ts';
import type { DebugTarget, Stopped } from './target.ts';

const error = { permission: 'E01', badAddress: 'E0e', invalid: 'E16' } as const;
/** Of one read; what a packet carries in hexadecimal. */
const readBytesMax = packetBytesMax / 2 - 16;
/** Nobody sets more; each costs something at every instruction of its page. */
const trapsMax = 1000;

const watchKinds: Readonly<Record<string, Watch['on']>> = { 2: 'write', 3: 'read', 4: 'access' };

export class GdbStub {
  readonly #target: DebugTarget;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #close: () => void;
  readonly #reader = new PacketReader();
  readonly #breakpoints = new Set<bigint>();
  readonly #hardware = new Set<bigint>();
  #watches: readonly Watch[] = [];
  #acknowledges = true;
  #last = '';
  #queue: string[] = [];
  #busy = false;
  #resuming = false;
  /** The hart whose registers and memory are meant. */
  #hart = 0;
  #stopReply = '';
  #physical = false;
  #description = targetDescription();

  /** @param close ends the connection */
  constructor(target: DebugTarget, send: (bytes: Uint8Array) => void, close: () => void) {
    this.#target = target;
    this.#send = send;
    this.#close = close;
    this.#hart = this.#presentHart();
    this.#stopReply = this.#stopText({ kind: 'interrupted' });
  }

  receive(bytes: Uint8Array): void {
    for (const received of this.#reader.push(bytes)) this.#received(received);
  }

  #received(received: Received): void {
    switch (received.kind) {
      case 'interrupt':
        if (this.#resuming) this.#target.interrupt();
        return;
      case 'damaged':
        if (this.#acknowledges) this.#send(Uint8Array.of(0x2d));
        return;
      case 'again':
        if (this.#last !== '') this.#send(encodePacket(this.#last));
        return;
      case 'acknowledged':
        return;
      case 'packet':
        if (this.#acknowledges) this.#send(Uint8Array.of(0x2b));
        this.#queue.push(String.fromCharCode(...received.data));
        void this.#work();
    }
  }

  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    for (let packet = this.#queue.shift(); packet !== undefined; packet = this.#queue.shift()) {
      let reply: string | undefined;
      try {
        reply = await this.#answer(packet);
      } catch (failure) {
        reply = `E.${failure instanceof Error ? failure.message : String(failure)}`;
      }
      if (reply !== undefined) this.#reply(reply);
      if (packet === 'QStartNoAckMode') this.#acknowledges = false;
    }
    this.#busy = false;
  }

  #reply(data: string): void {
    this.#last = data;
    this.#send(encodePacket(data));
  }

  // --- Requests

  /** @returns the reply; undefined for none */
  async #answer(packet: string): Promise<string | undefined> {
    const rest = packet.slice(1);
    switch (packet[0]) {
      case '?':
        return this.#stopReply;
      case 'g':
        return registers.map((_, number) => this.#readRegister(number)).join('');
      case 'G':
        return this.#writeRegisters(rest);
      case 'p':
        return this.#readOneRegister(rest);
      case 'P':
        return this.#writeOneRegister(rest);
      case 'm':
        return this.#readMemory(rest);
      case 'M':
        return this.#writeMemory(rest, fromHex);
      case 'X':
        return this.#writeMemory(rest, (data) => Uint8Array.from(data, (c) => c.charCodeAt(0)));
      case 'H':
        return this.#chooseHart(rest);
      case 'T':
        return this.#hartOf(rest) === undefined ? error.invalid : 'OK';
      case 'Z':
      case 'z':
        return this.#setTrap(packet[0] === 'Z', rest);
      case 'c':
      case 'C':
        return this.#resume('forward', undefined);
      case 's':
      case 'S':
        return this.#resume('forward', this.#hart);
      case 'b':
        return this.#back(rest);
      case 'v':
        return this.#verbose(packet);
      case 'q':
      case 'Q':
        return this.#query(packet);
      case 'D':
        this.#reply('OK');
        this.#close();
        return undefined;
      case 'k':
        this.#close();
        return undefined;
      default:
        return '';
    }
  }

  async #query(packet: string): Promise<string> {
    const [name = ''] = /^[A-Za-z]+(\.[A-Za-z]+)?/.exec(packet) ?? [];
    const rest = packet.slice(name.length + 1);
    switch (name) {
      case 'qSupported':
        return this.#features();
      case 'QStartNoAckMode':
        return 'OK';
      case 'qXfer':
        return this.#transfer(rest);
      case 'qC':
        return `QC${this.#hart + 1}`;
      case 'qAttached':
        return '1';
      case 'qfThreadInfo':
        return `m${this.#harts()
          .map((hart) => (hart + 1).toString(16))
          .join(',')}`;
      case 'qsThreadInfo':
        return 'l';
      case 'qThreadExtraInfo': {
        const hart = this.#hartOf(rest);
        if (hart === undefined) return error.invalid;
        return hexOf(new TextEncoder().encode(this.#hartInWords(hart)));
      }
      case 'qSymbol':
        return 'OK';
      case 'qRcmd': {
        const command = fromHex(rest);
        if (command === undefined) return error.invalid;
        return hexOf(
          new TextEncoder().encode(await this.#monitor(String.fromCharCode(...command))),
        );
      }
      case 'Qqemu.PhyMemMode':
        this.#physical = rest === '1';
        return 'OK';
      case 'qqemu.PhyMemMode':
        return this.#physical ? '1' : '0';
      default:
        return '';
    }
  }

  #features(): string {
    const features = [
      `PacketSize=${packetBytesMax.toString(16)}`,
      'QStartNoAckMode+',
      'qXfer:features:read+',
      'qXfer:threads:read+',
      'swbreak+',
      'hwbreak+',
      'vContSupported+',
    ];
    if (this.#target.canGoBack) features.push('ReverseStep+', 'ReverseContinue+');
    return features.join(';');
  }

  #transfer(rest: string): string {
    const match = /^(features:read:target\.xml|threads:read:):([0-9a-f]+),([0-9a-f]+)$/i.exec(rest);
    if (match === null) return 'E00';
    const text = match[1]!.startsWith('features') ? this.#description : this.#threads();
    const from = Number.parseInt(match[2]!, 16);
    const length = Math.min(Number.parseInt(match[3]!, 16), readBytesMax);
    const part = text.slice(from, from + length);
    return (from + length < text.length ? 'm' : 'l') + part;
  }

  #threads(): string {
    const thread = (hart: number): string =>
      `<thread id="${(hart + 1).toString(16)}" name="hart ${hart}">${this.#hartInWords(hart)}</thread>`;
    return `<?xml version="1.0"?><threads>${this.#harts().map(thread).join('')}</threads>`;
  }

  async #verbose(packet: string): Promise<string | undefined> {
    if (packet === 'vCont?') return 'vCont;c;C;s;S';
    if (packet.startsWith('vKill')) {
      this.#reply('OK');
      this.#close();
      return undefined;
    }
    if (!packet.startsWith('vCont;')) return '';
    for (const action of packet.slice(6).split(';')) {
      const [, kind, thread] = /^([cs]|[CS][0-9a-f]{2})(?::([0-9a-f.p-]+))?$/i.exec(action) ?? [];
      if (kind === undefined) return error.invalid;
      if (kind[0]!.toLowerCase() !== 's') continue;
      const hart = thread === undefined ? this.#hart : this.#hartOf(thread);
      if (hart === undefined) return error.invalid;
      return this.#resume('forward', hart);
    }
    return this.#resume('forward', undefined);
  }

  #back(rest: string): Promise<string> | string {
    if (!this.#target.canGoBack) return '';
    if (rest === 's') return this.#resume('backward', this.#hart);
    if (rest === 'c') return this.#resume('backward', undefined);
    return '';
  }

  // --- Going on

  async #resume(direction: 'forward' | 'backward', stepHart: number | undefined): Promise<string> {
    this.#resuming = true;
    const breakpoints = new Set([...this.#breakpoints, ...this.#hardware]);
    const traps = { breakpoints, watches: this.#watches };
    try {
      const stopped = await this.#target.resume({ direction, stepHart, traps });
      const trapHart = stopped.kind === 'trap' ? stopped.trap.hart : undefined;
      this.#hart = trapHart ?? stepHart ?? this.#presentHart();
      this.#stopReply = this.#stopText(stopped);
    } finally {
      this.#resuming = false;
    }
    return this.#stopReply;
  }

  #stopText(stopped: Stopped): string {
    if (stopped.kind === 'off') return 'W00';
    const signal = stopped.kind === 'interrupted' ? '02' : '05';
    const thread = `thread:${(this.#hart + 1).toString(16)};`;
    const why = {
      trap: () => this.#trapText((stopped as { trap: Trap }).trap),
      begin: () => 'replaylog:begin;',
      end: () => 'replaylog:end;',
      stepped: () => '',
      interrupted: () => '',
    }[stopped.kind]();
    return `T${signal}${thread}${why}`;
  }

  #trapText(trap: Trap): string {
    if (trap.kind === 'breakpoint') return this.#hardware.has(trap.pc) ? 'hwbreak:;' : 'swbreak:;';
    const kind = { write: 'watch', read: 'rwatch', access: 'awatch' }[trap.watch.on];
    return `${kind}:${trap.address.toString(16)};`;
  }

  #setTrap(insert: boolean, rest: string): string {
    const match = /^([0-4]),([0-9a-f]{1,16}),([0-9a-f]{1,4})/i.exec(rest);
    if (match === null) return '';
    const address = BigInt(`0x${match[2]}`);
    const bytes = Number.parseInt(match[3]!, 16);
    const on = watchKinds[match[1]!];
    const count = this.#breakpoints.size + this.#hardware.size + this.#watches.length;
    if (insert && count >= trapsMax) return error.invalid;
    if (on === undefined) {
      const set = match[1] === '1' ? this.#hardware : this.#breakpoints;
      if (insert) set.add(address);
      else set.delete(address);
      return 'OK';
    }
    const others = this.#watches.filter(
      (watch) => watch.address !== address || watch.bytes !== bytes || watch.on !== on,
    );
    this.#watches = insert ? [...others, { address, bytes, on }] : others;
    return 'OK';
  }

  // --- Harts

  #harts(): number[] {
    return Array.from({ length: this.#target.machine.inspection.hartCount }, (_, hart) => hart);
  }

  /** The one that is next, or has just run. */
  #presentHart(): number {
    const { machine } = this.#target;
    return machine.nextHart ?? machine.position.hart;
  }

  #hartInWords(hart: number): string {
    const { inspection } = this.#target.machine;
    const mode = { 0: 'user', 1: 'supervisor', 3: 'machine' }[inspection.privilege(hart)];
    return `${mode} mode${inspection.isWaiting(hart) ? ', waiting' : ''}`;
  }

  /** Of a thread's number; 0 and -1, any and all, are the present one. */
  #hartOf(text: string): number | undefined {
    if (text === '0' || text === '-1') return this.#hart;
    if (!/^[0-9a-f]+$/i.test(text)) return undefined;
    const hart = Number.parseInt(text, 16) - 1;
    return hart < this.#target.machine.inspection.hartCount ? hart : undefined;
  }

  #chooseHart(rest: string): string {
    const hart = this.#hartOf(rest.slice(1));
    if (hart === undefined) return error.invalid;
    this.#hart = hart;
    return 'OK';
  }

  // --- Registers

  #readRegister(number: number): string {
    const { bytes, read } = registers[number]!;
    return hexOfValue(read(this.#target.machine.inspection, this.#hart), bytes);
  }

  #readOneRegister(rest: string): string {
    const number = Number.parseInt(rest, 16);
    return registers[number] === undefined ? error.invalid : this.#readRegister(number);
  }

  #writeOneRegister(rest: string): string {
    const [number = '', text = ''] = rest.split('=');
    const register = registers[Number.parseInt(number, 16)];
    const value = valueOfHex(text);
    if (register === undefined || value === undefined) return error.invalid;
    if (!this.#target.canChange || register.write === undefined) return error.permission;
    register.write(this.#target.machine.inspection, this.#hart, value);
    return 'OK';
  }

  #writeRegisters(rest: string): string {
    if (!this.#target.canChange) return error.permission;
    let at = 0;
    for (const { bytes, write } of registers) {
      const value = valueOfHex(rest.slice(at, at + 2 * bytes));
      at += 2 * bytes;
      if (value !== undefined) write?.(this.#target.machine.inspection, this.#hart, value);
    }
    return 'OK';
  }

  // --- Memory

  #readMemory(rest: string): string {
    const range = rangeOf(rest);
    if (range === undefined) return error.invalid;
    const { inspection } = this.#target.machine;
    const length = Math.min(range.length, readBytesMax);
    const bytes = this.#physical
      ? inspection.readPhysical(range.address, length)
      : inspection.readVirtual(this.#hart, range.address, length);
    if (bytes === undefined || (bytes.length === 0 && length > 0)) return error.badAddress;
    return hexOf(bytes);
  }

  #writeMemory(rest: string, decode: (data: string) => Uint8Array | undefined): string {
    const colon = rest.indexOf(':');
    const range = rangeOf(rest.slice(0, Math.max(colon, 0)));
    const bytes = decode(rest.slice(colon + 1));
    if (range === undefined || bytes?.length !== range.length) return error.invalid;
    if (!this.#target.canChange) return error.permission;
    const { inspection } = this.#target.machine;
    const done = this.#physical
      ? inspection.writePhysical(range.address, bytes)
      : inspection.writeVirtual(this.#hart, range.address, bytes);
    return done ? 'OK' : error.badAddress;
  }

  // --- monitor

  async #monitor(command: string): Promise<string> {
    const [word, argument] = command.trim().split(/\s+/);
    if (word === 'physical') {
      if (argument !== 'on' && argument !== 'off') return 'monitor physical on|off\n';
      this.#physical = argument === 'on';
      return `memory is read by ${this.#physical ? 'physical' : 'virtual'} address\n`;
    }
    const text = await this.#target.monitor(command.trim());
    this.#hart = this.#presentHart();
    return text;
  }
}

function rangeOf(text: string): { address: bigint; length: number } | undefined {
  const match = /^([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
  if (match === null) return undefined;
  return { address: BigInt(`0x${match[1]}`), length: Number.parseInt(match[2]!, 16) };
}
