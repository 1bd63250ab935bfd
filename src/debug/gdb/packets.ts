/**
 * Packets of GDB's remote serial protocol (GDB manual, appendix E.1): `$data#checksum`, acknowledged
 * with `+` or asked for again with `-` until both sides agree to leave that out; a lone 0x03 is an
 * interrupt.
 *
 * From: a debugger's socket, in whatever pieces. To: the stub. Bytes may be anything: what is no
 * packet is skipped, a packet with a wrong checksum is asked for again, and nothing is kept that is
 * longer than `packetBytesMax`.
 */

/** Of data in one packet, either way, escapes included; announced as `PacketSize`. */
export const packetBytesMax = 0x4000;

const [dollar, hash, escapeByte, interrupt, plus, minus] = [0x24, 0x23, 0x7d, 0x03, 0x2b, 0x2d];

export type Received =
  | { readonly kind: 'packet'; readonly data: Uint8Array }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'interrupt' }
  /** The other side has received a packet, or wants it again. */
  | { readonly kind: 'acknowledged' }
  | { readonly kind: 'again' };

export class PacketReader {
  #data: number[] | undefined;
  /** Checksum digits that have come, behind `#`. */
  #digits: number[] | undefined;
  #tooLong = false;

  push(bytes: Uint8Array): Received[] {
    const received: Received[] = [];
    for (const byte of bytes) {
      const one = this.#take(byte);
      if (one !== undefined) received.push(one);
    }
    return received;
  }

  #take(byte: number): Received | undefined {
    if (this.#digits !== undefined) return this.#takeDigit(byte);
    if (this.#data === undefined) return this.#outside(byte);
    if (byte === dollar) this.#begin();
    else if (byte === hash) this.#digits = [];
    else if (this.#data.length < packetBytesMax) this.#data.push(byte);
    else this.#tooLong = true;
    return undefined;
  }

  #outside(byte: number): Received | undefined {
    if (byte === dollar) this.#begin();
    else if (byte === interrupt) return { kind: 'interrupt' };
    else if (byte === plus) return { kind: 'acknowledged' };
    else if (byte === minus) return { kind: 'again' };
    return undefined;
  }

  #begin(): void {
    this.#data = [];
    this.#tooLong = false;
  }

  #takeDigit(byte: number): Received | undefined {
    this.#digits!.push(byte);
    if (this.#digits!.length < 2) return undefined;
    const raw = this.#data!;
    const digits = String.fromCharCode(...this.#digits!);
    this.#data = undefined;
    this.#digits = undefined;
    const right = /^[0-9a-f]{2}$/i.test(digits) && Number.parseInt(digits, 16) === checksum(raw);
    if (!right || this.#tooLong) return { kind: 'damaged' };
    return { kind: 'packet', data: unescaped(raw) };
  }
}

function checksum(bytes: Iterable<number>): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum + byte) & 0xff;
  return sum;
}

function unescaped(raw: readonly number[]): Uint8Array {
  const data: number[] = [];
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at]!;
    data.push(byte === escapeByte && at + 1 < raw.length ? raw[++at]! ^ 0x20 : byte);
  }
  return Uint8Array.from(data);
}

const special = new Set([dollar, hash, escapeByte, 0x2a]);

/** @param data text of one byte per character */
export function encodePacket(data: string): Uint8Array {
  const body: number[] = [];
  for (let at = 0; at < data.length; at++) {
    const byte = data.charCodeAt(at) & 0xff;
    if (special.has(byte)) body.push(escapeByte, byte ^ 0x20);
    else body.push(byte);
  }
  const sum = checksum(body).toString(16).padStart(2, '0');
  return Uint8Array.of(dollar, ...body, hash, sum.charCodeAt(0), sum.charCodeAt(1));
}

// --- The hexadecimal of the protocol

export const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Undefined for what is no hexadecimal, or half a byte. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, at) =>
    Number.parseInt(text.slice(2 * at, 2 * at + 2), 16),
  );
}

/** A register's value: its bytes, lowest first. */
export function hexOfValue(value: bigint, bytes: number): string {
  let text = '';
  for (let at = 0; at < bytes; at++) {
    text += Number((value >> BigInt(8 * at)) & 0xffn)
      .toString(16)
      .padStart(2, '0');
  }
  return text;
}

export function valueOfHex(text: string): bigint | undefined {
  const bytes = fromHex(text);
  if (bytes === undefined || bytes.length === 0 || bytes.length > 8) return undefined;
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
