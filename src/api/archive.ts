/**
 * A VM as an archive on its way from a host, through the center that leads, to whoever asked for it:
 *
 *   GET /vms/:vm/archive <-- center <-- WebSocket /archives/:work <-- host
 *
 * The host's bytes are binary messages, passed on as they come; nobody keeps them, and the slowest
 * of the three sets the pace. The host tells length and hash when it has sent all (`work-done`,
 * agent.ts). Then the center ends the reply with the hash as a trailer `Content-Digest` (RFC 9530)
 * and closes the WebSocket. A reply that breaks off before that is no archive.
 */
import { apiPrefix } from './wire.ts';

export const archiveUploadPath = (work: string): string =>
  `${apiPrefix}/archives/${encodeURIComponent(work)}`;

/** Of an archive that is whole. */
export interface ArchiveSum {
  readonly bytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** The reply's header with the id of the task that says what becomes of it. */
export const taskHeader = 'x-umbra-task';
export const digestHeader = 'content-digest';

export const contentDigest = (sha256: string): string =>
  `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`;

/** @returns SHA-256 in hexadecimal, or undefined where the header has none */
export function sha256OfDigest(header: string | undefined): string | undefined {
  const [, base64] = /(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]+):/.exec(header ?? '') ?? [];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex');
}
