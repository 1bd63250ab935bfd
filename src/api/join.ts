/**
 * How a daemon becomes a member: a join token in, a certificate of the cluster's CA out.
 *
 * The token is `SECRET.FINGERPRINT`, the fingerprint being SHA-256 over the CA's certificate. The
 * daemon looks at the chain that the center shows, takes the certificate with that fingerprint as
 * its CA, and only then, over a connection verified with it, says the secret. The private key never
 * leaves the daemon's folder. A folder that has an identity needs no token.
 */
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { PemConverter } from '@peculiar/x509';
import { UmbraError } from '../base/errors.ts';
import { certificateRequest } from './certificate-request.ts';
import { Client } from './client.ts';
import {
  type DaemonCredentials,
  readDaemonCredentials,
  writeDaemonCredentials,
} from './credentials.ts';
import { centerName, centerUrl, connectionError } from './wire.ts';

export interface JoinOptions {
  readonly url: string;
  /** Not needed if the folder has credentials already. */
  readonly token: string | undefined;
  readonly kind: 'host' | 'gateway';
  readonly name: string;
  /** IP addresses at which other daemons reach this one: log and trunk. */
  readonly addresses: readonly string[];
  readonly directory: string;
}

/** Joins, or finds that it has joined before. */
export async function joinCluster(options: JoinOptions): Promise<DaemonCredentials> {
  const known = readDaemonCredentials(options.directory);
  if (known !== undefined) return known;
  const { secret, fingerprint } = parseJoinToken(options.token);
  const url = centerUrl(options.url);
  const ca = await fetchAuthority(url, fingerprint);
  const { request, key } = await certificateRequest(options.name);
  const client = new Client(url, { ca });
  try {
    const { kind, name, addresses } = options;
    const { daemonId, certificate } = await client.call('join', {
      body: {
        token: secret,
        kind,
        name,
        addresses: [...addresses],
        certificateRequest: request,
      },
    });
    return writeDaemonCredentials(options.directory, daemonId, { ca, certificate, key });
  } finally {
    client.close();
  }
}

/** SHA-256 over a DER certificate, in hex. */
export const fingerprintOf = (der: Uint8Array): string =>
  createHash('sha256').update(der).digest('hex');

export function parseJoinToken(token: string | undefined): { secret: string; fingerprint: string } {
  const parts = token?.match(/^([A-Za-z0-9_-]{20,100})\.([0-9a-f]{64})$/);
  if (parts) return { secret: parts[1]!, fingerprint: parts[2]! };
  const why = token === undefined ? 'a join token is needed' : 'this is not a join token';
  throw new UmbraError(
    'token-malformed',
    `${why}: the folder has no credentials yet`,
    'Make one with umbra center token, and give it whole: --token -, or UMBRA_JOIN_TOKEN.',
  );
}

/** The certificate with this fingerprint out of the chain that the center shows, as PEM. */
export function fetchAuthority(url: string, fingerprint: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connect(
      {
        host,
        port: Number(port === '' ? 443 : port),
        servername: centerName,
        // Nobody is believed yet, and nothing is said on this connection.
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
        timeout: 10_000,
      },
      () => {
        const found = chainOf(socket.getPeerCertificate(true)).find(
          (der) => fingerprintOf(der) === fingerprint,
        );
        socket.destroy();
        if (found !== undefined) return resolve(PemConverter.encode(found, 'CERTIFICATE'));
        reject(
          new UmbraError(
            'center-not-trusted',
            `the server at ${url} is not the center that this join token is from`,
            'Check the address; if the center was set up anew, make a new token.',
          ),
        );
      },
    );
    socket.on('timeout', () => socket.destroy(new Error('no answer within 10 s')));
    socket.on('error', (error) => reject(connectionError(url, error)));
  });
}

function chainOf(leaf: DetailedPeerCertificate): Uint8Array<ArrayBuffer>[] {
  const chain: Uint8Array<ArrayBuffer>[] = [];
  let next: DetailedPeerCertificate | undefined = leaf;
  // A self-signed certificate is its own issuer.
  while (next?.raw !== undefined && chain.length < 8) {
    chain.push(new Uint8Array(next.raw));
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}
