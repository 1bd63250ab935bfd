/**
 * The five functions of the C library that a TAP device takes and Node has not: `ioctl` to make
 * one, `poll` to wait for its frames, `read` and `write` that answer "not now" without an exception.
 *
 * koffi is loaded only here and only if an uplink is asked for, so a machine for which it has no
 * binary runs everything else. Constants are those of Linux on little-endian 64-bit machines, the
 * only ones that Node's binaries of this project run on.
 */
import { createRequire } from 'node:module';
import { UmbraError } from '../../base/errors.ts';

export interface Libc {
  /** All return -1 on failure; `errno` then says why. */
  readonly ioctl: (descriptor: number, request: number, argument: Uint8Array) => number;
  readonly read: (descriptor: number, bytes: Uint8Array, length: number) => number;
  readonly write: (descriptor: number, bytes: Uint8Array, length: number) => number;
  readonly socket: (domain: number, type: number, protocol: number) => number;
  /** Waits on a thread of libuv's pool. @param entries `struct pollfd`s, kept by the caller */
  readonly poll: (
    entries: Uint8Array,
    count: number,
    milliseconds: number,
    done: (error: unknown, ready: number) => void,
  ) => void;
  readonly errno: () => number;
}

type Koffi = typeof import('koffi');

let loaded: Libc | undefined;

/** @throws UmbraError `uplink-unsupported` */
export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  if (process.platform !== 'linux') throw unsupported(`this is ${process.platform}`);
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    // What the process has loaded already, whichever C library that is.
    const library = koffi.load(null);
    return {
      ioctl: library.func('int ioctl(int descriptor, unsigned long request, void *argument)'),
      read: library.func('long read(int descriptor, void *bytes, size_t length)'),
      write: library.func('long write(int descriptor, const void *bytes, size_t length)'),
      socket: library.func('int socket(int domain, int type, int protocol)'),
      poll: library.func('int poll(void *entries, unsigned long count, int milliseconds)').async,
      errno: () => koffi.errno(),
    };
  } catch (cause) {
    throw unsupported(`the package koffi cannot be loaded: ${(cause as Error).message}`, cause);
  }
}

function unsupported(why: string, cause?: unknown): UmbraError {
  return new UmbraError(
    'uplink-unsupported',
    `an uplink needs a TAP device of Linux, and ${why}`,
    'Start the host without --uplink; its guests reach the outside through the gateway.',
    { cause },
  );
}
