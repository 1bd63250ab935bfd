/** Published ports: one that is free, and who answers behind one, from outside like any client. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Below what Linux gives to outgoing connections, one of which could have it a moment later. */
const [portMin, portEnd] = [20_000, 32_000];
const attemptsMax = 100;

/** A port of this machine that nobody listens on at present. @throws if there are none, or nearly */
export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const port = randomInt(portMin, portEnd);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      await new Promise((resolve) => server.close(resolve));
      return port;
    } catch (error) {
      if (attempt === attemptsMax) throw error;
    }
  }
}

/** Whether Redis answers PING behind this port, within half a second. */
export function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(500, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.once('data', (chunk) => end(chunk.toString().startsWith('+PONG')));
  });
}
