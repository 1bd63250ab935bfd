/** `umbra vm console`: this terminal as a VM's console. */
import type { Client } from '../api/client.ts';
import { openConsole } from '../api/console.ts';

/** Ctrl-], as telnet has it. */
const leaveByte = 0x1d;

/** Until the user leaves, or the connection ends. */
export function attachConsole(client: Client, name: string): Promise<void> {
  const { stdin, stdout } = process;
  const isTerminal = stdin.isTTY === true;
  return new Promise((resolve, reject) => {
    const opened = openConsole(client, name, {
      onOutput: (bytes) => stdout.write(bytes),
      onCenter: (isThere) => {
        const leave = isTerminal ? '; Ctrl-] leaves' : '';
        const text = isThere ? 'A center is there again.' : `The center is away, waiting${leave}.`;
        process.stderr.write(`\r\n[${text}]\r\n`);
      },
      onEnd: (why) => {
        if (isTerminal) stdin.setRawMode(false);
        stdin.pause();
        if (why === undefined) resolve();
        else reject(why);
      },
    });
    if (isTerminal) {
      process.stderr.write(`Console of ${name}; Ctrl-] leaves.\r\n`);
      stdin.setRawMode(true);
    }
    stdin.on('data', (chunk: Buffer) => {
      if (isTerminal && chunk.includes(leaveByte)) return opened.close();
      opened.input(chunk);
    });
    process.once('SIGINT', () => opened.close());
    process.once('SIGTERM', () => opened.close());
  });
}
