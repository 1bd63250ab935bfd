/**
 * UART: an NS16550A, the console of QEMU's `virt` machine, wired to an infinitely fast line.
 *
 * Data come from `receive` (a console input) and from the guest's stores; bytes the guest sends go
 * out as console outputs at the very store. Registers: PC16550D data sheet, section 8.
 *
 * The transmitter is always empty again before the guest can look. Received bytes that find the
 * FIFO full wait in a backlog, which is state, and follow as the guest reads: nothing typed is lost
 * before the backlog is full, and what is lost then sets the overrun bit. The line falls silent as
 * soon as it has delivered, so a FIFO filled below its trigger level reports the character timeout
 * at once.
 */
import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import { MalformedBytes } from '../base/bytes.ts';
import type { AccessSize, Device, DeviceContext } from '../machine/device.ts';

const fifoSize = 16;
/** Bytes that wait for the FIFO at most: a generous paste. */
export const uartBacklogBytesMax = 65_536;

/** Register offsets. Some share one: by direction, and by DLAB. */
const RBR_THR = 0;
const IER = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RDI = 0x01;
const IER_THRI = 0x02;
const IER_RLSI = 0x04;

const IIR_NO_INT = 0x01;
const IIR_THRI = 0x02;
const IIR_RDI = 0x04;
const IIR_RLSI = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFOS = 0xc0;

const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVE = 0x02;
const FCR_CLEAR_TRANSMIT = 0x04;
/** The bits of FCR that stay: enable, DMA mode, trigger level. */
const FCR_KEPT = 0xc9;
const triggerLevels = [1, 4, 8, 14] as const;

const LCR_DLAB = 0x80;
const MCR_OUT2 = 0x08;
const MCR_LOOP = 0x10;

const LSR_DR = 0x01;
const LSR_OE = 0x02;
const LSR_TRANSMITTER_EMPTY = 0x60;
/** Carrier, data set ready, clear to send: somebody is always at the other end. */
const MSR_CONNECTED = 0xb0;

export class Uart implements Device {
  readonly #context: DeviceContext;
  #ier = 0;
  #fcr = 0;
  #lcr = 0;
  #mcr = MCR_OUT2;
  #scr = 0;
  #divisor = 12;
  #overrun = false;
  /** The transmitter has become empty, and the guest has not been told since. */
  #transmitPending = false;
  /** Without FIFOs it holds one byte; a byte that finds it taken is written over it. */
  #fifo: number[] = [];
  #backlog: number[] = [];

  constructor(context: DeviceContext) {
    this.#context = context;
  }

  /** Console input. */
  receive(bytes: Uint8Array): void {
    const room = uartBacklogBytesMax - this.#backlog.length;
    for (const byte of bytes.subarray(0, room)) this.#backlog.push(byte);
    if (bytes.length > room) this.#overrun = true;
    this.#update();
  }

  read(offset: number, _size: AccessSize): number {
    switch (offset) {
      case RBR_THR:
        return this.#dlab ? this.#divisor & 0xff : this.#takeReceived();
      case IER:
        return this.#dlab ? this.#divisor >>> 8 : this.#ier;
      case IIR_FCR:
        return this.#identifyInterrupt();
      case LCR:
        return this.#lcr;
      case MCR:
        return this.#mcr;
      case LSR:
        return this.#readLineStatus();
      case MSR:
        return this.#loop ? modemStatusInLoop(this.#mcr) : MSR_CONNECTED;
      case SCR:
        return this.#scr;
      default:
        return 0;
    }
  }

  write(offset: number, _size: AccessSize, value: number): void {
    value &= 0xff;
    switch (offset) {
      case RBR_THR:
        if (this.#dlab) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#transmit(value);
        break;
      case IER:
        if (this.#dlab) this.#divisor = (this.#divisor & 0xff) | (value << 8);
        else this.#enableInterrupts(value & 0x0f);
        break;
      case IIR_FCR:
        this.#controlFifos(value);
        break;
      case LCR:
        this.#lcr = value;
        break;
      case MCR:
        this.#mcr = value & 0x1f;
        break;
      case SCR:
        this.#scr = value;
        break;
      default: // LSR and MSR are for reading only.
    }
    this.#update();
  }

  reset(): void {
    this.#ier = 0;
    this.#fcr = 0;
    this.#lcr = 0;
    this.#mcr = MCR_OUT2;
    this.#scr = 0;
    this.#divisor = 12;
    this.#overrun = false;
    this.#transmitPending = false;
    this.#fifo = [];
    this.#backlog = [];
    this.#update();
  }

  save(writer: ByteWriter): void {
    writer.u8(this.#ier).u8(this.#fcr).u8(this.#lcr).u8(this.#mcr).u8(this.#scr);
    writer.u16(this.#divisor).bool(this.#overrun).bool(this.#transmitPending);
    writer.bytes(Uint8Array.from(this.#fifo)).bytes(Uint8Array.from(this.#backlog));
  }

  restore(reader: ByteReader): void {
    this.#ier = reader.u8();
    this.#fcr = reader.u8();
    this.#lcr = reader.u8();
    this.#mcr = reader.u8();
    this.#scr = reader.u8();
    this.#divisor = reader.u16();
    this.#overrun = reader.bool();
    this.#transmitPending = reader.bool();
    this.#fifo = [...reader.bytes()];
    if (this.#fifo.length > this.#capacity) throw new MalformedBytes('a FIFO of too many bytes');
    this.#backlog = [...reader.bytes()];
  }

  get #dlab(): boolean {
    return (this.#lcr & LCR_DLAB) !== 0;
  }

  get #loop(): boolean {
    return (this.#mcr & MCR_LOOP) !== 0;
  }

  get #fifosEnabled(): boolean {
    return (this.#fcr & FCR_ENABLE) !== 0;
  }

  get #capacity(): number {
    return this.#fifosEnabled ? fifoSize : 1;
  }

  #takeReceived(): number {
    const byte = this.#fifo.shift() ?? 0;
    this.#update();
    return byte;
  }

  #transmit(byte: number): void {
    if (!this.#loop) this.#context.emit({ kind: 'console', bytes: Uint8Array.of(byte) });
    else if (this.#fifo.length < this.#capacity) this.#fifo.push(byte);
    else this.#overrunBy(byte);
    this.#transmitPending = true;
  }

  /** An overrun leaves a full FIFO as it is, but replaces the byte where there is no FIFO. */
  #overrunBy(byte: number): void {
    this.#overrun = true;
    if (!this.#fifosEnabled) this.#fifo[0] = byte;
  }

  /** Enabling the transmitter interrupt raises it although nothing was sent; drivers rely on it. */
  #enableInterrupts(ier: number): void {
    const changed = this.#ier ^ ier;
    this.#ier = ier;
    if (changed & IER_THRI) this.#transmitPending = (ier & IER_THRI) !== 0;
  }

  #controlFifos(value: number): void {
    const toggled = ((value ^ this.#fcr) & FCR_ENABLE) !== 0;
    if (toggled || value & FCR_CLEAR_RECEIVE) this.#fifo = [];
    if (toggled || value & FCR_CLEAR_TRANSMIT) this.#transmitPending = true;
    this.#fcr = value & FCR_KEPT;
  }

  #readLineStatus(): number {
    const status =
      LSR_TRANSMITTER_EMPTY | (this.#overrun ? LSR_OE : 0) | (this.#fifo.length > 0 ? LSR_DR : 0);
    this.#overrun = false;
    this.#update();
    return status;
  }

  /** Reading IIR acknowledges the transmitter interrupt, if that is the one it reports. */
  #identifyInterrupt(): number {
    const interrupt = this.#interrupt();
    if (interrupt === IIR_THRI) {
      this.#transmitPending = false;
      this.#update();
    }
    return interrupt | (this.#fifosEnabled ? IIR_FIFOS : 0);
  }

  /** The pending interrupt of the highest priority. */
  #interrupt(): number {
    const received = this.#fifo.length;
    const trigger = this.#fifosEnabled ? triggerLevels[(this.#fcr >>> 6) as 0 | 1 | 2 | 3] : 1;
    if (this.#ier & IER_RLSI && this.#overrun) return IIR_RLSI;
    if (this.#ier & IER_RDI && received >= trigger) return IIR_RDI;
    if (this.#ier & IER_RDI && received > 0) return IIR_TIMEOUT;
    if (this.#ier & IER_THRI && this.#transmitPending) return IIR_THRI;
    return IIR_NO_INT;
  }

  /** After any change: the backlog flows on (a looped line hears only itself), the line follows. */
  #update(): void {
    if (!this.#loop && this.#backlog.length > 0) {
      const room = this.#capacity - this.#fifo.length;
      if (room > 0) this.#fifo.push(...this.#backlog.splice(0, room));
    }
    this.#context.setInterrupt(this.#interrupt() !== IIR_NO_INT);
  }
}

/** In loop-back the modem's outputs are its inputs: RTS is CTS, DTR is DSR, OUT1 is RI, OUT2 is DCD. */
function modemStatusInLoop(mcr: number): number {
  return ((mcr & 0x0c) << 4) | ((mcr & 0x02) << 3) | ((mcr & 0x01) << 5);
}
