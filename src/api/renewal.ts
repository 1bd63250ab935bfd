/**
 * Keeps a daemon's certificate from ending: with a third of its life left, a new key and a new
 * certificate, asked for over the connection that the old one opens.
 *
 * From: the center (endpoint `renewCertificate`). To: the folder of credentials, both or neither;
 * then to whoever opens connections (`renewed`). Connections that stand are not touched. What does
 * not fit the daemon's own CA, name, key and clock is not taken: the old one serves on, also beyond
 * its end, until the center is there again.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { certificateRequest } from './certificate-request.ts';
import { Client } from './client.ts';
import { type DaemonCredentials, writeIdentity } from './credentials.ts';
import { daemonTrust } from './wire.ts';

const lookMsMax = 60 * 60 * 1000;
const answerMsMax = 30_000;

export interface RenewalOptions {
  /** Of the centers: each of them has the authority. */
  readonly urls: () => readonly string[];
  readonly credentials: DaemonCredentials;
  /** The files have changed: the next connection is to use them. */
  readonly renewed: (endsAt: Date) => void;
  /** Once until it succeeds again. */
  readonly failed: (why: Error, endsAt: Date) => void;
}

/** With a third of its life left. */
export function renewalDueAt({ validFromDate, validToDate }: X509Certificate): number {
  const [from, to] = [validFromDate.getTime(), validToDate.getTime()];
  return to - (to - from) / 3;
}

export class Renewal {
  readonly #options: RenewalOptions;
  #timer: NodeJS.Timeout | undefined;
  readonly #clients = new Set<Client>();
  #hasFailed = false;
  #closed = false;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  start(): void {
    const certificate = this.#present();
    this.#again(renewalDueAt(certificate) - Date.now());
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const client of this.#clients) client.close();
  }

  #present(): X509Certificate {
    return new X509Certificate(readFileSync(this.#options.credentials.certificateFile));
  }

  /** Looks again at least every hour: the clock may have been set. */
  #again(inMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#look(), Math.max(0, Math.min(lookMsMax, inMs)));
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const present = this.#present();
    const due = renewalDueAt(present);
    if (Date.now() < due) return this.#again(due - Date.now());
    try {
      await this.#renew();
    } catch (error) {
      if (!this.#hasFailed && !this.#closed) {
        this.#options.failed(error as Error, present.validToDate);
      }
      this.#hasFailed = true;
      // A sixtieth of its life: an hour with one of months.
      return this.#again((present.validToDate.getTime() - due) / 20);
    }
    this.#hasFailed = false;
    this.#again(renewalDueAt(this.#present()) - Date.now());
  }

  async #renew(): Promise<void> {
    const { urls, credentials } = this.#options;
    const { daemonId, caFile } = credentials;
    const { request, key } = await certificateRequest(daemonId);
    const { certificate } = await this.#ask(request);
    const issued = new X509Certificate(certificate);
    const why = unfit(issued, new X509Certificate(readFileSync(caFile)), daemonId, key);
    if (why !== undefined) {
      throw new UmbraError(
        'certificate-unfit',
        `the center has issued a certificate that cannot be used: ${why}`,
        'Compare the clocks of this machine and of the center.',
      );
    }
    if (this.#closed) return;
    writeIdentity(dirname(credentials.certificateFile), certificate, key);
    this.#options.renewed(issued.validToDate);
    // The centers are to see the new one, so that the old one counts no more once it has ended.
    const shown = urls().map((url) => this.#with(url, (client) => client.call('health')));
    await Promise.allSettled(shown);
  }

  /** The first center that answers. */
  async #ask(certificateRequest: string): Promise<{ readonly certificate: string }> {
    let failure: unknown;
    for (const url of this.#options.urls()) {
      try {
        return await this.#with(url, (client) =>
          client.call('renewCertificate', { body: { certificateRequest } }),
        );
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }

  /** A client with the credentials as they are in the folder now; never waits for ever. */
  async #with<T>(url: string, act: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client(url, daemonTrust(this.#options.credentials));
    this.#clients.add(client);
    const impatience = setTimeout(() => client.close(), answerMsMax);
    try {
      return await act(client);
    } finally {
      clearTimeout(impatience);
      this.#clients.delete(client);
      client.close();
    }
  }
}

function unfit(
  issued: X509Certificate,
  authority: X509Certificate,
  daemonId: string,
  key: string,
): string | undefined {
  if (!issued.checkIssued(authority) || !issued.verify(authority.publicKey)) return 'of another CA';
  if (!issued.subject.split('\n').includes(`CN=${daemonId}`)) return 'of another name';
  if (!issued.checkPrivateKey(createPrivateKey(key))) return 'of another key';
  const now = new Date();
  if (now < issued.validFromDate || now >= issued.validToDate) return 'it is not valid now';
  return undefined;
}
