/**
 * What a running center tells: events, and, as JSON lines, also the changing calls. Text is for
 * people at a terminal; JSON (pino) is for collectors.
 */
import { pino } from 'pino';
import type { AuditView } from '../api/people.ts';
import type { EventView } from '../api/views.ts';

export interface CenterLog {
  event(event: EventView): void;
  audit(record: AuditView): void;
  /** Something has failed that must not. */
  failure(text: string, error: unknown): void;
}

export const eventLine = ({ sequence, time, kind, text }: EventView): string =>
  `${String(sequence).padStart(5)}  ${time}  ${kind.padEnd(20)}  ${text}`;

/** @param fd 1, or 2 where standard output carries a document */
export function centerLog(format: 'text' | 'json', fd: 1 | 2): CenterLog {
  if (format === 'text') {
    const tell = fd === 1 ? console.log : console.error;
    return {
      event: (event) => tell(eventLine(event)),
      audit: () => {},
      failure: (text, error) => console.error(`umbra: ${text}`, error),
    };
  }
  // Written at once: a center that is killed has said what it knew.
  const log = pino(
    { base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'message' },
    pino.destination({ fd, sync: true }),
  );
  return {
    event: ({ text, time: _, ...event }) => log.info({ event }, text),
    audit: ({ time: _, ...audit }) =>
      log.info({ audit }, `${audit.who} called ${audit.action}: ${audit.outcome}`),
    failure: (text, error) => log.error({ err: error }, text),
  };
}
