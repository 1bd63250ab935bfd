/**
 * A WebAssembly module: imported memory and functions, own functions, exports (core specification
 * 2.0, section 5.5).
 */
import type { Type } from '../../isa/operators.ts';
import { ByteBuffer, type FunctionBody, valueType } from './code.ts';

export interface FunctionType {
  readonly takes: readonly Type[];
  readonly gives: Type | undefined;
}

const encoder = new TextEncoder();

export class ModuleWriter {
  readonly #types: string[] = [];
  readonly #typeBytes: FunctionType[] = [];
  readonly #imports: { name: string; type: number }[] = [];
  readonly #functions: { type: number; body: FunctionBody | undefined }[] = [];
  readonly #exports: { name: string; index: number }[] = [];

  /** All imports come before the first function. @returns the function's index */
  importFunction(name: string, type: FunctionType): number {
    if (this.#functions.length > 0) throw new Error('imports come first');
    return this.#imports.push({ name, type: this.#type(type) }) - 1;
  }

  /** Reserves an index, so that functions can call each other. */
  declareFunction(type: FunctionType): number {
    return (
      this.#imports.length + this.#functions.push({ type: this.#type(type), body: undefined }) - 1
    );
  }

  setBody(index: number, body: FunctionBody): void {
    this.#functions[index - this.#imports.length]!.body = body;
  }

  export(name: string, index: number): void {
    this.#exports.push({ name, index });
  }

  /** The number of a type, for indirect calls. */
  typeIndex(type: FunctionType): number {
    return this.#type(type);
  }

  /**
   * The module imports its memory as `umbra.memory`, a table of functions as `umbra.table`, its
   * functions as `umbra.NAME`.
   */
  finish(memoryPages: number): Uint8Array<ArrayBuffer> {
    const module = new ByteBuffer();
    module.raw(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    section(module, 1, this.#typeBytes, (out, type) => {
      out.u8(0x60);
      out.unsigned(type.takes.length);
      for (const parameter of type.takes) out.u8(valueType[parameter]);
      out.unsigned(type.gives ? 1 : 0);
      if (type.gives) out.u8(valueType[type.gives]);
    });
    section(module, 2, ['memory', 'table', ...this.#imports] as const, (out, imported) => {
      name(out, 'umbra');
      name(out, typeof imported === 'object' ? imported.name : imported);
      if (typeof imported === 'object') {
        out.u8(0);
        out.unsigned(imported.type);
      } else if (imported === 'table') {
        for (const byte of [1, 0x70, 0, 0]) out.u8(byte);
      } else {
        // A memory that cannot grow has a place that never changes: nothing to read again after calls.
        for (const byte of [2, 1]) out.u8(byte);
        out.unsigned(memoryPages);
        out.unsigned(memoryPages);
      }
    });
    section(module, 3, this.#functions, (out, { type }) => out.unsigned(type));
    section(module, 7, this.#exports, (out, exported) => {
      name(out, exported.name);
      out.u8(0);
      out.unsigned(exported.index);
    });
    this.#hints(module);
    section(module, 10, this.#functions, (out, { body }) => {
      if (!body) throw new Error('a function without a body');
      out.unsigned(body.bytes.length);
      out.raw(body.bytes);
    });
    return module.finish();
  }

  /** Which branches are unlikely: a custom section ahead of the code (branch hinting proposal). */
  #hints(module: ByteBuffer): void {
    const hinted = this.#functions
      .map(({ body }, index) => ({ index: this.#imports.length + index, at: body?.unlikely ?? [] }))
      .filter(({ at }) => at.length > 0);
    if (hinted.length === 0) return;
    const content = new ByteBuffer();
    name(content, 'metadata.code.branch_hint');
    content.unsigned(hinted.length);
    for (const { index, at } of hinted) {
      content.unsigned(index);
      content.unsigned(at.length);
      for (const offset of at) {
        content.unsigned(offset);
        content.unsigned(1);
        content.u8(0);
      }
    }
    module.u8(0);
    module.unsigned(content.length);
    module.raw(content.finish());
  }

  #type(type: FunctionType): number {
    const key = `${type.takes.join()}:${type.gives}`;
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    this.#typeBytes.push(type);
    return this.#types.push(key) - 1;
  }
}

function name(out: ByteBuffer, text: string): void {
  const bytes = encoder.encode(text);
  out.unsigned(bytes.length);
  out.raw(bytes);
}

function section<T>(
  module: ByteBuffer,
  id: number,
  items: readonly T[],
  write: (out: ByteBuffer, item: T) => void,
): void {
  const content = new ByteBuffer();
  content.unsigned(items.length);
  for (const item of items) write(content, item);
  module.u8(id);
  module.unsigned(content.length);
  module.raw(content.finish());
}
