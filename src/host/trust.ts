/**
 * What a daemon, or one of its VM processes, believes of its peers: the CA, and what the center has
 * said of members since. Every connection that is made asks here, after the handshake and before a
 * byte of it is looked at; those that stand ask again when somebody is revoked.
 *
 * Certificates are read from their files by `renew`, for the next connections. Nothing is asked of
 * the center, which may be away for as long as it takes.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { TLSSocket } from 'node:tls';
import type { Credentials } from '../api/credentials.ts';
import { type MemberKind, peerCertificate, refusalOf } from '../api/peer-certificate.ts';

export interface Standing {
  /** Ids that are never believed again. */
  readonly revoked: readonly string[];
  /** When the latest certificate ends that each has shown to the center, Unix milliseconds. */
  readonly certificateEnds: Readonly<Record<string, number>>;
}

/** What the peer is, or why it is refused. */
export type Judgement =
  | { readonly name: string; readonly refused: undefined; readonly hasEnded: boolean }
  | { readonly name: string; readonly refused: string };

export class Trust {
  readonly #credentials: Credentials;
  #authority!: X509Certificate;
  #pem!: { readonly ca: string; readonly cert: string; readonly key: string };
  #revoked: ReadonlySet<string> = new Set();
  #ends: Readonly<Record<string, number>> = {};

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
    this.renew();
  }

  /** Reads the files again. What cannot be read leaves everything as it is. */
  renew(): void {
    const { caFile, certificateFile, keyFile } = this.#credentials;
    const [ca, cert, key] = [caFile, certificateFile, keyFile].map((f) => readFileSync(f, 'utf8'));
    const authority = new X509Certificate(ca!);
    this.#pem = { ca: ca!, cert: cert!, key: key! };
    this.#authority = authority;
  }

  learn({ revoked, certificateEnds }: Standing): void {
    this.#revoked = new Set(revoked);
    this.#ends = certificateEnds;
  }

  isRevoked(id: string): boolean {
    return this.#revoked.has(id);
  }

  /** Options of a TLS server or client for the next connections. */
  get mutual() {
    return { ...this.#pem, minVersion: 'TLSv1.3' } as const;
  }

  /** @param kind what a peer has to be whose id is known already, or what each of them is */
  judge(socket: TLSSocket, kindOf: (id: string) => MemberKind | undefined): Judgement {
    const certificate = peerCertificate(socket, this.#authority);
    if (typeof certificate === 'string') {
      return { name: String(socket.getPeerCertificate()?.subject?.CN), refused: certificate };
    }
    const { name, hasEnded } = certificate;
    if (this.#revoked.has(name)) return { name, refused: 'it has been revoked' };
    const kind = kindOf(name);
    if (kind === undefined) return { name, refused: 'it is not known here' };
    const refused = refusalOf(certificate, kind, this.#ends[name]);
    return refused === undefined ? { name, refused, hasEnded } : { name, refused };
  }
}
