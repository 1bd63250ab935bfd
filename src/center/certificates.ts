/**
 * The cluster's certificate authority: ECDSA P-256, made at the center's first start.
 *
 * `ca-key.pem` in the center's folder is the cluster's root of trust and never leaves it. Each
 * certificate says who (common name), what (organizational unit: center, host or gateway) and at
 * which addresses. Only the center's carries the name `center.umbra`, by which clients know it.
 * Names are checked here, so no certificate request can obtain another identity (RFC 5280). The CA
 * lasts for twenty years, what it issues for ninety days (docs/decisions/certificates.md).
 */
import 'reflect-metadata';
import {
  createPrivateKey,
  X509Certificate as NodeCertificate,
  randomBytes,
  webcrypto,
} from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  Pkcs10CertificateRequest,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { writePrivateFile } from '../api/credentials.ts';
import { renewalDueAt } from '../api/renewal.ts';
import { centerName } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';

const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;
const day = 24 * 60 * 60 * 1000;
const authorityMs = 20 * 365 * day;
export const certificateMs = 90 * day;

export interface Identity {
  readonly commonName: string;
  readonly unit: 'center' | 'host' | 'gateway';
  readonly names: readonly string[];
  readonly addresses: readonly string[];
}

/** What the TLS server needs; `chain` ends with the CA, for joiners to recognise. */
export interface CenterTls {
  readonly ca: string;
  readonly chain: string;
  readonly key: string;
}

export class Authority {
  readonly certificatePem: string;
  /** SHA-256 over the certificate, hex: the second part of join tokens. */
  readonly fingerprint: string;
  /** PEM of certificate and key, for a further center. */
  readonly secrets: { readonly certificate: string; readonly key: string };
  readonly #certificate: X509Certificate;
  readonly #key: webcrypto.CryptoKey;
  readonly #issuedMs: number;

  private constructor(
    certificate: X509Certificate,
    key: webcrypto.CryptoKey,
    keyPem: string,
    issuedMs: number,
  ) {
    this.#certificate = certificate;
    this.#key = key;
    this.#issuedMs = issuedMs;
    this.secrets = { certificate: certificate.toString('pem'), key: keyPem };
    this.certificatePem = certificate.toString('pem');
    const { fingerprint256 } = new NodeCertificate(this.certificatePem);
    this.fingerprint = fingerprint256.replaceAll(':', '').toLowerCase();
  }

  /**
   * The authority of this folder, made if it is not there.
   * @param issuedMs how long the certificates last that it issues
   */
  static async open(directory: string, issuedMs = certificateMs): Promise<Authority> {
    const certificateFile = join(directory, 'ca.pem');
    const keyFile = join(directory, 'ca-key.pem');
    if (!existsSync(certificateFile)) await Authority.#create(certificateFile, keyFile);
    try {
      const pem = readFileSync(keyFile, 'utf8');
      const pkcs8 = PemConverter.decodeFirst(pem);
      const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, ecdsa, false, ['sign']);
      const certificate = new X509Certificate(readFileSync(certificateFile, 'utf8'));
      return new Authority(certificate, key, pem, issuedMs);
    } catch (cause) {
      throw new UmbraError(
        'authority-damaged',
        `the cluster's certificate authority in ${directory} cannot be read: ${(cause as Error).message}`,
        'Restore ca.pem and ca-key.pem from a backup of this folder.',
        { cause },
      );
    }
  }

  /** Whether this folder has one. */
  static exists(directory: string): boolean {
    return existsSync(join(directory, 'ca.pem'));
  }

  /** That of a cluster which this center has joined. */
  static adopt(directory: string, { certificate, key }: Authority['secrets']): void {
    writePrivateFile(join(directory, 'ca-key.pem'), key);
    writePrivateFile(join(directory, 'ca.pem'), `${certificate}\n`);
  }

  static async #create(certificateFile: string, keyFile: string): Promise<void> {
    const keys = await webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: [{ CN: [`Umbra cluster ${randomBytes(4).toString('hex')}`] }],
      ...lifetime(authorityMs),
      signingAlgorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    writePrivateFile(keyFile, await privateKeyPem(keys.privateKey));
    writePrivateFile(certificateFile, `${certificate.toString('pem')}\n`);
  }

  /** The center's own key and certificate, kept beside the authority and made anew in time. */
  async center(directory: string): Promise<CenterTls> {
    const certificateFile = join(directory, 'center.pem');
    const keyFile = join(directory, 'center-key.pem');
    if (!isOfUse(certificateFile, keyFile)) {
      const keys = await webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify']);
      const certificate = await this.#issue(keys.publicKey, {
        commonName: 'center',
        unit: 'center',
        names: [centerName],
        addresses: [],
      });
      writePrivateFile(keyFile, await privateKeyPem(keys.privateKey));
      writePrivateFile(certificateFile, `${certificate}\n`);
    }
    const chain = `${readFileSync(certificateFile, 'utf8')}${this.certificatePem}\n`;
    return { ca: this.certificatePem, chain, key: readFileSync(keyFile, 'utf8') };
  }

  /** Signs a daemon's request: its key, but the identity that the center gives. */
  async sign(requestPem: string, identity: Identity): Promise<string> {
    const bad = identity.addresses.find((address) => isIP(address) === 0);
    if (bad !== undefined) throw malformedRequest(`"${bad}" is not an IP address`);
    if (identity.names.includes(centerName)) throw malformedRequest(`${centerName} is the center`);
    let request: Pkcs10CertificateRequest;
    try {
      request = new Pkcs10CertificateRequest(requestPem);
    } catch {
      throw malformedRequest('it is not a PKCS #10 certificate request');
    }
    const { algorithm } = request.publicKey as { algorithm: { name: string; namedCurve?: string } };
    if (algorithm.name !== ecdsa.name || algorithm.namedCurve !== ecdsa.namedCurve) {
      throw malformedRequest('its key is not ECDSA P-256');
    }
    if (!(await request.verify())) throw malformedRequest('it is not signed with its own key');
    return this.#issue(request.publicKey, identity);
  }

  async #issue(publicKey: webcrypto.CryptoKey | PublicKey, identity: Identity): Promise<string> {
    const { commonName, unit, names, addresses } = identity;
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: [{ CN: [commonName] }, { OU: [unit] }],
      issuer: this.#certificate.subjectName,
      ...lifetime(this.#issuedMs, this.#certificate.notAfter),
      signingAlgorithm,
      publicKey,
      signingKey: this.#key,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension([
          ...names.map((value) => ({ type: 'dns', value }) as const),
          ...addresses.map((value) => ({ type: 'ip', value }) as const),
        ]),
        await AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
      ],
    });
    return certificate.toString('pem');
  }
}

/** Hosts whose clocks are behind must believe it, too: by a day, or by as long as it lasts. */
function lifetime(ms: number, limit?: Date): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  const notAfter = new Date(Math.min(now + ms, limit?.getTime() ?? Number.POSITIVE_INFINITY));
  return { notBefore: new Date(now - Math.min(day, ms)), notAfter };
}

/** The two files belong together, and a third of its life is left. */
function isOfUse(certificateFile: string, keyFile: string): boolean {
  try {
    const certificate = new NodeCertificate(readFileSync(certificateFile));
    const key = createPrivateKey(readFileSync(keyFile));
    return certificate.checkPrivateKey(key) && Date.now() < renewalDueAt(certificate);
  } catch {
    return false;
  }
}

/** Positive and of full length (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${PemConverter.encode(pkcs8, PemConverter.PrivateKeyTag)}\n`;
}

function malformedRequest(why: string): UmbraError {
  return new UmbraError(
    'certificate-request-malformed',
    `the certificate request is refused: ${why}`,
    'Join with the umbra command of the same version as the center.',
  );
}
