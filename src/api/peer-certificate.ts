/**
 * Who stands at the other end of a TLS connection, by its certificate.
 *
 * The handshake has proved that the peer holds the certificate's key. Here is checked that the
 * cluster's CA has issued it, and to what kind of member. One that has ended is told, not refused:
 * no protected VM may fail because a certificate ran out, so whether it still counts is decided by
 * who knows whether that member has been seen with a newer one (docs/decisions/certificates.md).
 *
 * OpenSSL tells only the last of several faults, and "has ended" is the last that it looks for; so
 * the CA's signature is verified here again before that fault is forgiven.
 */
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

export type MemberKind = 'center' | 'host' | 'gateway';

export interface PeerCertificate {
  /** The common name: a daemon's id. */
  readonly name: string;
  /** The organizational unit; whatever it says, until it is compared. */
  readonly kind: string;
  /** Unix milliseconds. */
  readonly endsAt: number;
  /** When the connection was made. */
  readonly hasEnded: boolean;
}

/** Twin of `peerCertificate`: the peer is asked for a certificate and looked at there. */
export const trustLater = {
  requestCert: true,
  rejectUnauthorized: false,
  checkServerIdentity: () => undefined,
} as const;

const ended = 'CERT_HAS_EXPIRED';

/** @returns why it is not one of this cluster's, in words, or what it says */
export function peerCertificate(
  socket: TLSSocket,
  authority: X509Certificate,
): PeerCertificate | string {
  const { raw, subject } = socket.getPeerCertificate();
  if (raw === undefined) return 'it has shown no certificate';
  const fault = socket.authorized ? undefined : String(socket.authorizationError);
  if (fault !== undefined && fault !== ended) {
    return `its certificate is not one of this cluster (${fault})`;
  }
  const certificate = new X509Certificate(raw);
  if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    return "its certificate is not of this cluster's CA";
  }
  const { CN: name, OU: kind } = subject;
  if (typeof name !== 'string') return 'its certificate has no name';
  const endsAt = certificate.validToDate.getTime();
  return { name, kind: String(kind), endsAt, hasEnded: fault === ended };
}

/**
 * Why a member of this kind is not believed with this certificate, or undefined.
 * @param shownSince when the latest certificate ends that this member is known to have
 */
export function refusalOf(
  certificate: PeerCertificate,
  kind: MemberKind,
  shownSince: number | undefined,
): string | undefined {
  if (certificate.kind !== kind) return `its certificate is that of a ${certificate.kind}`;
  if (certificate.hasEnded && certificate.endsAt < (shownSince ?? 0)) {
    return `its certificate ended on ${dayOf(certificate.endsAt)}, and it has a newer one`;
  }
  return undefined;
}

export const dayOf = (unixMs: number): string => new Date(unixMs).toISOString().slice(0, 10);
