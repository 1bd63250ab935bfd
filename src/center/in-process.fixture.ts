/**
 * For tests: a center in the test's own process, on loopback, with everything real but the process.
 * A bug that a request meets is kept for the test to see.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '../api/client.ts';
import { readPersonCredentials } from '../api/credentials.ts';
import type { Role } from '../api/roles.ts';
import { centerName, readText, type Trust } from '../api/wire.ts';
import { type Center, type CenterOptions, startCenter } from './start.ts';

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** undefined: nobody. */
  readonly token?: string;
}

export interface RawReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON, if it is. */
  readonly json: Record<string, unknown>;
}

/** `image.json` of an image as small as can be. */
export const describeImage = (name: string): string =>
  JSON.stringify({
    ...{ format: 1, name, memory: 2 ** 27, disks: [] },
    ...{ kernel: { path: 'Image', bytes: 1 }, initrd: { path: 'initrd', bytes: 1 } },
  });

export class InProcessCenter {
  readonly folder = mkdtempSync(join(tmpdir(), 'umbra-api-'));
  readonly bugs: unknown[] = [];
  #center: Center | undefined;
  readonly #clients: Client[] = [];

  static async start(options: Partial<CenterOptions> = {}): Promise<InProcessCenter> {
    const own = new InProcessCenter();
    mkdirSync(join(own.folder, 'home'));
    await own.start(options);
    return own;
  }

  async start(options: Partial<CenterOptions> = {}): Promise<void> {
    this.#center = await startCenter({
      data: join(this.folder, 'data'),
      home: join(this.folder, 'home'),
      listen: '127.0.0.1:0',
      onBug: (error) => this.bugs.push(error),
      ...options,
    });
  }

  /** Ends it, and leaves its folder. */
  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.#center?.close();
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get center(): Center {
    return this.#center!;
  }

  get url(): string {
    return this.center.url;
  }

  get home(): string {
    return join(this.folder, 'home');
  }

  get admin(): { readonly token: string; readonly ca: string } {
    return readPersonCredentials(this.center.adminFile);
  }

  /** @param token by default the one in admin.json */
  client(token: string | undefined = this.admin.token): Client {
    return this.clientOf({ ca: this.admin.ca, token });
  }

  /** Nobody knows who it is. */
  stranger(): Client {
    return this.clientOf({ ca: this.admin.ca });
  }

  clientOf(trust: Trust): Client {
    const client = new Client(this.url, trust);
    this.#clients.push(client);
    return client;
  }

  /** An API token of this role that is no user's. */
  async tokenOf(role: Role): Promise<string> {
    const body = { name: `a ${role}`, role };
    return (await this.client().call('createApiToken', { body })).token;
  }

  async token(): Promise<string> {
    return (await this.client().call('createJoinToken', { body: {} })).token;
  }

  /** An image as small as can be. */
  addImage(name: string): void {
    const folder = join(this.home, 'images', name);
    mkdirSync(folder, { recursive: true });
    for (const path of ['Image', 'initrd']) writeFileSync(join(folder, path), path);
    writeFileSync(join(folder, 'image.json'), describeImage(name));
  }

  /** A request as it is, whatever it is. @param path from the root */
  raw(path: string, { method = 'GET', headers = {}, body, token }: RawRequest = {}) {
    const { ca } = this.admin;
    const url = new URL(this.url);
    const options = {
      ...{ host: url.hostname, port: url.port, path, method, ca, servername: centerName },
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && {
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(body)),
        }),
        ...headers,
      },
    };
    return new Promise<RawReply>((resolve, reject) => {
      const sent = request(options, async (reply) => {
        const text = await readText(reply);
        resolve({ status: reply.statusCode!, headers: reply.headers, text, json: parsed(text) });
      });
      // A reply may come before the whole request is sent; then it counts.
      sent.on('error', reject);
      sent.end(body);
    });
  }
}

function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
