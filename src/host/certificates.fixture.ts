/** For tests: a CA of their own and certificates by it, made at run time, in a folder of their own. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { type DaemonCredentials, writeDaemonCredentials } from '../api/credentials.ts';
import type { MemberKind } from '../api/peer-certificate.ts';
import { centerName } from '../api/wire.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 86_400_000;

const newKeys = (): Promise<CryptoKeyPair> =>
  webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<CryptoKeyPair>;

type CryptoKeyPair = webcrypto.CryptoKeyPair;

export class TestAuthority {
  readonly #folder: string;
  readonly #keys: CryptoKeyPair;
  readonly #certificate: x509.X509Certificate;

  private constructor(folder: string, keys: CryptoKeyPair, certificate: x509.X509Certificate) {
    this.#folder = folder;
    this.#keys = keys;
    this.#certificate = certificate;
  }

  static async create(folder: string): Promise<TestAuthority> {
    x509.cryptoProvider.set(webcrypto as never);
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: 'CN=test authority',
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + day),
      keys: keys as never,
      signingAlgorithm: algorithm,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    });
    return new TestAuthority(folder, keys, certificate);
  }

  get pem(): string {
    return this.#certificate.toString('pem');
  }

  /** Credentials of a daemon of this id, or of the center; its folder's earlier ones are replaced. */
  async issue(
    id: string,
    directory = join(this.#folder, id),
    { kind = 'host', endsInMs = day }: { kind?: MemberKind; endsInMs?: number } = {},
  ): Promise<DaemonCredentials> {
    const unit = id === centerName ? 'center' : kind;
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex'),
      subject: `CN=${id}, OU=${unit}`,
      issuer: this.#certificate.subject,
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + endsInMs),
      publicKey: keys.publicKey as never,
      signingKey: this.#keys.privateKey as never,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          { type: 'ip', value: '127.0.0.1' },
          ...(id === centerName ? [{ type: 'dns' as const, value: id }] : []),
        ]),
      ],
    });
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return writeDaemonCredentials(directory, id, {
      ca: this.pem,
      certificate: certificate.toString('pem'),
      key: x509.PemConverter.encode(key, 'PRIVATE KEY'),
    });
  }
}
