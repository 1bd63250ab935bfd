/**
 * The round trip of the log channel's link, without a VM: a message of an entry's size over mutual
 * TLS 1.3 from one process to another and back, with the certificates of two hosts.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { daemonFiles } from '../../src/api/credentials.ts';

const messageBytes = 100;
const trips = 2_000;

export function trustOf(folder: string) {
  const { caFile, certificateFile, keyFile } = daemonFiles(folder);
  const [ca, cert, key] = [caFile, certificateFile, keyFile].map((file) => readFileSync(file));
  return { ca: ca!, cert: cert!, key: key!, minVersion: 'TLSv1.3' } as const;
}

/** @returns milliseconds of each, without the first tenth */
export async function roundTrips(folder: string, from: string, to: string): Promise<number[]> {
  const echo = fork(join(import.meta.dirname, 'echo.ts'), [join(folder, to)]);
  try {
    const [port] = (await once(echo, 'message')) as [number];
    const socket = connect({
      ...trustOf(join(folder, from)),
      host: '127.0.0.1',
      port,
      checkServerIdentity: () => undefined,
    });
    await once(socket, 'secureConnect');
    socket.setNoDelay(true);
    const taken: number[] = [];
    const message = Buffer.alloc(messageBytes);
    for (let trip = 0; trip < trips; trip++) {
      const start = performance.now();
      socket.write(message);
      await once(socket, 'data');
      taken.push(performance.now() - start);
    }
    socket.destroy();
    return taken.slice(trips / 10);
  } finally {
    echo.kill('SIGKILL');
  }
}
