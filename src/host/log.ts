/** What a daemon writes about itself: one line of JSON each, on standard error. */
import { type Logger, pino } from 'pino';

export type Log = Pick<Logger, 'info' | 'warn' | 'error'>;

export function daemonLog(name: string): Log {
  return pino(
    { name, base: { name, pid: process.pid } },
    pino.destination({ dest: 2, sync: true }),
  );
}
