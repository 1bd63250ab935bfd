/**
 * What a replay leaves in files for other tools: the console with times, network frames as pcapng,
 * disk writes, executed functions.
 *
 * From: each output and each input of the replay, at its count and the guest's time. Times are the
 * guest's: seconds since it was switched on, or, where a format wants a date, the wall clock that the
 * guest was given at that moment.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { ByteWriter } from '../../base/bytes.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Output } from '../../machine/effects.ts';

/** When something happened. */
export interface Moment {
  readonly count: bigint;
  /** Seconds of the guest's clock since it was switched on. */
  readonly seconds: number;
  /** Nanoseconds since the Unix epoch, as the guest knows it. */
  readonly wallNanoseconds: bigint;
}

export interface ReplayExport {
  output?(output: Output, at: Moment): void;
  /** A frame delivered to the guest. */
  frameIn?(frame: Uint8Array, at: Moment): void;
  close(): void;
}

class ExportFile {
  readonly #path: string;
  readonly #file: number;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;

  constructor(path: string) {
    this.#path = path;
    this.#file = this.#try(() => openSync(path, 'w'));
  }

  write(bytes: Uint8Array | string): void {
    const part = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    this.#pending.push(part);
    this.#pendingBytes += part.length;
    if (this.#pendingBytes > 1 << 20) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    const all = Buffer.concat(this.#pending);
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#try(() => {
      for (let at = 0; at < all.length; ) at += writeSync(this.#file, all, at);
    });
  }

  #try<Result>(act: () => Result): Result {
    try {
      return act();
    } catch (error) {
      throw new UmbraError(
        'export-unwritable',
        `${this.#path} cannot be written (${(error as NodeJS.ErrnoException).code ?? error}).`,
        'Name a file in a folder that exists and has room.',
        { cause: error },
      );
    }
  }
}

const stamp = ({ seconds }: Moment): string => `[${seconds.toFixed(6).padStart(14)}] `;

/** Each line of the console behind the time at which it began. */
export function consoleExport(path: string): ReplayExport {
  const file = new ExportFile(path);
  let atStart = true;
  return {
    output(output, at) {
      if (output.kind !== 'console') return;
      for (const piece of Buffer.from(output.bytes)
        .toString('latin1')
        .split(/(?<=\n)/)) {
        if (piece === '') continue;
        file.write(Buffer.from((atStart ? stamp(at) : '') + piece, 'latin1'));
        atStart = piece.endsWith('\n');
      }
    },
    close: () => file.close(),
  };
}

/** Every write and discard of a disk: a JSON document a line, what was written in base64. */
export function diskExport(path: string): ReplayExport {
  const file = new ExportFile(path);
  return {
    output(output, { count, seconds }) {
      if (output.kind !== 'disk') return;
      const { action, data, disk, length, offset } = output.request;
      if (action !== 'write' && action !== 'discard') return;
      const written = action === 'write' ? { data: Buffer.from(data).toString('base64') } : {};
      const line = { count: Number(count), seconds, disk, action, offset, length, ...written };
      file.write(`${JSON.stringify(line)}\n`);
    },
    close: () => file.close(),
  };
}

/**
 * Frames both ways, as pcapng (draft-ietf-opsawg-pcapng): one Ethernet interface a port, times in
 * nanoseconds, direction in the flags of each packet.
 */
export function frameExport(path: string, ports: number): ReplayExport {
  const file = new ExportFile(path);
  file.write(pcapngBlock(0x0a0d0d0a, sectionHeader()));
  for (let port = 0; port < ports; port++) file.write(pcapngBlock(1, interfaceDescription(port)));
  const packet = (port: number, frame: Uint8Array, at: Moment, inbound: boolean): void =>
    file.write(pcapngBlock(6, enhancedPacket(port, frame, at, inbound)));
  return {
    output(output, at) {
      if (output.kind === 'frame') packet(output.port, output.frame, at, false);
    },
    frameIn: (frame, at) => packet(0, frame, at, true),
    close: () => file.close(),
  };
}

/** Type, length, body padded to four bytes, length. */
function pcapngBlock(type: number, body: Uint8Array): Uint8Array {
  const padded = Math.ceil(body.length / 4) * 4;
  const length = padded + 12;
  const writer = new ByteWriter(length).u32(type).u32(length).raw(body);
  return writer
    .raw(new Uint8Array(padded - body.length))
    .u32(length)
    .finish();
}

const byteOrderMagic = 0x1a2b3c4d;
const unknownLength = (1n << 64n) - 1n;
const linkTypeEthernet = 1;

const sectionHeader = (): Uint8Array =>
  new ByteWriter().u32(byteOrderMagic).u16(1).u16(0).u64(unknownLength).finish();

function interfaceDescription(port: number): Uint8Array {
  const writer = new ByteWriter().u16(linkTypeEthernet).u16(0).u32(0);
  option(writer, 2, Buffer.from(`port${port}`)); // if_name
  option(writer, 9, Uint8Array.of(9)); // if_tsresol: nanoseconds
  return writer.u32(0).finish();
}

function enhancedPacket(port: number, frame: Uint8Array, at: Moment, inbound: boolean): Uint8Array {
  const time = at.wallNanoseconds;
  const writer = new ByteWriter(frame.length + 64).u32(port);
  writer.u32(Number(time >> 32n)).u32(Number(time & 0xffff_ffffn));
  writer.u32(frame.length).u32(frame.length).raw(frame);
  writer.raw(new Uint8Array((4 - (frame.length % 4)) % 4));
  option(writer, 2, Uint8Array.of(inbound ? 1 : 2, 0, 0, 0)); // epb_flags
  return writer.u32(0).finish();
}

function option(writer: ByteWriter, code: number, value: Uint8Array): void {
  writer.u16(code).u16(value.length).raw(value);
  writer.raw(new Uint8Array((4 - (value.length % 4)) % 4));
}

/** Functions as they are entered: count, hart and name a line. */
export class FunctionTrace {
  readonly #file: ExportFile;

  constructor(path: string) {
    this.#file = new ExportFile(path);
  }

  entered(hart: number, name: string, count: bigint): void {
    this.#file.write(`${count} hart ${hart} ${name}\n`);
  }

  close(): void {
    this.#file.close();
  }
}
