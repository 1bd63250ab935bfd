/** A key that never leaves this machine, and the request for a certificate of it (PKCS #10). */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { PemConverter, Pkcs10CertificateRequestGenerator } from '@peculiar/x509';

const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' } as const;

export interface CertificateRequest {
  /** PEM. */
  readonly request: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

/** @param name for readers; the center gives the identity */
export async function certificateRequest(name: string): Promise<CertificateRequest> {
  const keys = await webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const key = PemConverter.encode(pkcs8, PemConverter.PrivateKeyTag);
  return { request: request.toString('pem'), key };
}
