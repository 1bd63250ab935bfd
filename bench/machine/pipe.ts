/**
 * A pipe of the operating system for a console. What Node gives a child as a pipe is a pair of
 * sockets, which take a few hundred writes of one byte each; a reader that is late makes QEMU's UART
 * lose bytes then.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { workplace } from './workplace.ts';

export interface Pipe {
  readonly reader: Socket;
  /** A file descriptor for a child; `closeWriter` when the child has it. */
  readonly writer: number;
  closeWriter(): void;
}

let made = 0;

export function makePipe(): Pipe {
  const path = join(workplace, `pipe-${made++}`);
  execFileSync('mkfifo', [path]);
  const { O_RDONLY, O_NONBLOCK, O_WRONLY } = constants;
  const fd = openSync(path, O_RDONLY | O_NONBLOCK);
  const writer = openSync(path, O_WRONLY);
  unlinkSync(path);
  const reader = new Socket({ fd, readable: true, writable: false });
  return { reader, writer, closeWriter: () => closeSync(writer) };
}
