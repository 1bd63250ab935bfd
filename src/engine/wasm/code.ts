/**
 * The body of one WebAssembly function, byte by byte (core specification 2.0, chapter 5), with
 * labels that know their depth. Emitted by hand because translation must cost microseconds.
 */
import { assert } from '../../base/assert.ts';
import { type AccessName, accesses, type Operator, type Type } from '../../isa/operators.ts';

/** Locals may hold doubles too: floating-point registers of translated regions. */
export type LocalType = Type | 'f64';

export const valueType: Readonly<Record<LocalType, number>> = { i32: 0x7f, i64: 0x7e, f64: 0x7c };

/** A function as it stands in the code section, and where its unlikely branches are. */
export interface FunctionBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Offsets in `bytes` of the `if`s that are seldom taken. */
  readonly unlikely: readonly number[];
}

export interface Label {
  readonly depth: number;
}

export class ByteBuffer {
  bytes = new Uint8Array(4096);
  length = 0;

  u8(value: number): void {
    if (this.length === this.bytes.length) this.#grow(1);
    this.bytes[this.length++] = value;
  }

  raw(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.bytes.length) this.#grow(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  unsigned(value: number): void {
    value >>>= 0;
    while (value >= 0x80) {
      this.u8((value & 0x7f) | 0x80);
      value >>>= 7;
    }
    this.u8(value);
  }

  signed32(value: number): void {
    for (;;) {
      const byte = value & 0x7f;
      value >>= 7;
      if ((value === 0 && (byte & 0x40) === 0) || (value === -1 && (byte & 0x40) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 0x80);
    }
  }

  signed64(value: bigint): void {
    value = BigInt.asIntN(64, value);
    const small = Number(value);
    if (small === (small | 0)) return this.signed32(small);
    for (;;) {
      const byte = Number(value & 0x7fn);
      value >>= 7n;
      if ((value === 0n && (byte & 0x40) === 0) || (value === -1n && (byte & 0x40) !== 0)) {
        this.u8(byte);
        return;
      }
      this.u8(byte | 0x80);
    }
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + needed));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

export class Code {
  readonly buffer = new ByteBuffer();
  readonly #locals: LocalType[] = [];
  readonly #parameterCount: number;
  readonly #unlikely: number[] = [];
  #depth = 0;

  constructor(parameterCount: number) {
    this.#parameterCount = parameterCount;
  }

  newLocal(type: LocalType): number {
    return this.#parameterCount + this.#locals.push(type) - 1;
  }

  // Values.
  i32(value: number): void {
    this.buffer.u8(0x41);
    this.buffer.signed32(value | 0);
  }
  i64(value: bigint | number): void {
    this.buffer.u8(0x42);
    if (typeof value === 'number') {
      assert(value === (value | 0), `no constant of 32 bits: ${value}`);
      this.buffer.signed32(value);
    } else this.buffer.signed64(value);
  }
  constant(type: Type, value: bigint): void {
    if (type === 'i64') this.i64(value);
    else this.i32(Number(BigInt.asIntN(32, value)));
  }
  getLocal(index: number): void {
    this.buffer.u8(0x20);
    this.buffer.unsigned(index);
  }
  setLocal(index: number): void {
    this.buffer.u8(0x21);
    this.buffer.unsigned(index);
  }
  teeLocal(index: number): void {
    this.buffer.u8(0x22);
    this.buffer.unsigned(index);
  }

  // Operators and memory. Alignment hints are always 1: nothing is known, and nothing depends on it.
  op(operator: Operator): void {
    this.buffer.u8(operator.opcode);
    for (const opcode of operator.around?.result ?? []) this.buffer.u8(opcode);
  }
  byte(opcode: number): void {
    this.buffer.u8(opcode);
  }
  load(access: AccessName, offset: number): void {
    this.#memory(accesses[access].load, offset);
  }
  store(access: AccessName, offset: number): void {
    this.#memory(accesses[access].store, offset);
  }
  loadDouble(offset: number): void {
    this.#memory(0x2b, offset);
  }
  storeDouble(offset: number): void {
    this.#memory(0x39, offset);
  }
  fill(): void {
    this.buffer.u8(0xfc);
    this.buffer.unsigned(11);
    this.buffer.u8(0);
  }
  #memory(opcode: number, offset: number): void {
    assert(offset >= 0, `a negative offset: ${offset}`);
    this.buffer.u8(opcode);
    this.buffer.u8(0);
    this.buffer.unsigned(offset);
  }

  // Control.
  block(): Label {
    return this.#open(0x02, 0x40);
  }
  loop(): Label {
    return this.#open(0x03, 0x40);
  }
  if(result?: Type): Label {
    return this.#open(0x04, result ? valueType[result] : 0x40);
  }
  /** Its code is moved out of the way (branch hinting proposal). */
  ifUnlikely(): Label {
    this.#unlikely.push(this.buffer.length);
    return this.if();
  }
  else(): void {
    this.buffer.u8(0x05);
  }
  end(): void {
    this.buffer.u8(0x0b);
    this.#depth -= 1;
  }
  br(label: Label): void {
    this.buffer.u8(0x0c);
    this.buffer.unsigned(this.#depth - label.depth);
  }
  brIf(label: Label): void {
    this.buffer.u8(0x0d);
    this.buffer.unsigned(this.#depth - label.depth);
  }
  brTable(labels: readonly Label[], otherwise: Label): void {
    this.buffer.u8(0x0e);
    this.buffer.unsigned(labels.length);
    for (const label of labels) this.buffer.unsigned(this.#depth - label.depth);
    this.buffer.unsigned(this.#depth - otherwise.depth);
  }
  return(): void {
    this.buffer.u8(0x0f);
  }
  call(functionIndex: number): void {
    this.buffer.u8(0x10);
    this.buffer.unsigned(functionIndex);
  }
  /** The table's function takes what is below the index on the stack. */
  callIndirect(type: number): void {
    this.buffer.u8(0x11);
    this.buffer.unsigned(type);
    this.buffer.u8(0);
  }
  returnCallIndirect(type: number): void {
    this.buffer.u8(0x13);
    this.buffer.unsigned(type);
    this.buffer.u8(0);
  }
  drop(): void {
    this.buffer.u8(0x1a);
  }
  unreachable(): void {
    this.buffer.u8(0x00);
  }
  #open(opcode: number, type: number): Label {
    this.buffer.u8(opcode);
    this.buffer.u8(type);
    this.#depth += 1;
    return { depth: this.#depth };
  }

  /** The function as it stands in the code section: locals, body, end. */
  finish(): FunctionBody {
    assert(this.#depth === 0, 'a block is still open');
    const body = new ByteBuffer();
    const runs: [LocalType, number][] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last && last[0] === type) last[1] += 1;
      else runs.push([type, 1]);
    }
    body.unsigned(runs.length);
    for (const [type, count] of runs) {
      body.unsigned(count);
      body.u8(valueType[type]);
    }
    const codeAt = body.length;
    body.raw(this.buffer.finish());
    body.u8(0x0b);
    return { bytes: body.finish(), unlikely: this.#unlikely.map((at) => at + codeAt) };
  }
}
