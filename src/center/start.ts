/**
 * Starts a center on a folder of data, and at its first start makes the cluster: authority, store,
 * the administrator's token (`admin.json`, readable by its owner only), a first join token.
 */
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import {
  type PersonCredentials,
  personCredentialsFile,
  readPersonCredentials,
  writePrivateFile,
} from '../api/credentials.ts';
import type { EventView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { keepCenterCertificate } from './center-certificate.ts';
import { Authority } from './certificates.ts';
import { Cluster } from './cluster.ts';
import { type Context, newJoinToken } from './handlers.ts';
import type { Limits } from './placement.ts';
import { createServer } from './server.ts';
import { EmbeddedStore } from './store/embedded-store.ts';
import { makeApiToken } from './tokens.ts';

export interface CenterOptions {
  readonly data: string;
  /** `ADDRESS:PORT`; port 0 takes a free one. */
  readonly listen: string;
  /** UMBRA_HOME: where images are built, and where credentials go if there are none. */
  readonly home: string;
  readonly limits?: Limits;
  /** How long the certificates last that it issues; shorter in tests. */
  readonly certificateMs?: number;
  readonly onEvent?: (event: EventView) => void;
  readonly onBug?: (error: unknown) => void;
  /** The disk has failed under the store. The process must end. */
  readonly onStoreFailure?: (error: unknown) => void;
}

export interface Center {
  readonly url: string;
  /** Only at the first start. */
  readonly joinToken: string | undefined;
  readonly adminFile: string;
  /** For tests and for programs that embed a center. */
  readonly cluster: Cluster;
  close(): Promise<void>;
}

export const defaultLimits: Limits = { ftVmsMax: 4, ftCpusMax: 8 };
export const defaultListen = '0.0.0.0:7443';

export async function startCenter(options: CenterOptions): Promise<Center> {
  const { address, port } = parseListen(options.listen);
  const isNewCluster =
    !existsSync(join(options.data, 'center.db')) && !existsSync(join(options.data, 'ca.pem'));
  const store = new EmbeddedStore(options.data, options.onStoreFailure);
  // Also where the folder was there before: in it are the authority's key and people's tokens.
  chmodSync(options.data, 0o700);
  const cluster = new Cluster({
    store,
    home: options.home,
    data: options.data,
    limits: options.limits ?? defaultLimits,
    ...(options.onEvent && { onEvent: options.onEvent }),
  });
  try {
    await cluster.arbiter.open(isNewCluster);
    const authority = await Authority.open(options.data, options.certificateMs);
    cluster.daemonConnections.trust(authority.certificatePem);
    const context: Context = { cluster, authority, version: packageVersion() };
    const tls = await authority.center(options.data);
    const server = await createServer(context, tls, options.onBug ?? (() => {}));
    try {
      await server.listen({ host: address, port });
    } catch (cause) {
      await server.close();
      throw listenError(options.listen, cause as Error);
    }
    const onFailure = options.onBug ?? (() => {});
    const stopKeeping = keepCenterCertificate(
      server.server as Server,
      authority,
      tls,
      options.data,
      onFailure,
    );
    const bound = (server.server.address() as AddressInfo).port;
    const adminFile = writeCredentials(options, cluster, localUrl(address, bound), tls.ca);
    const isFirst = store.get('meta', 'welcomed') === undefined;
    const joinToken = isFirst ? newJoinToken(cluster, authority) : undefined;
    store.put('meta', 'welcomed', 'yes');
    return {
      url: publicUrl(address, bound),
      joinToken,
      adminFile,
      cluster,
      async close() {
        stopKeeping();
        cluster.agents.close();
        await server.close();
        cluster.close();
        store.close();
      },
    };
  } catch (error) {
    cluster.close();
    store.close();
    throw error;
  }
}

/** The administrator's file, with the address that holds now; a copy for the local user. */
function writeCredentials(
  { data, home }: CenterOptions,
  cluster: Cluster,
  url: string,
  ca: string,
): string {
  const adminFile = resolve(data, 'admin.json');
  const token = existsSync(adminFile)
    ? readPersonCredentials(adminFile).token
    : makeApiToken(cluster.store, 'administrator');
  const credentials: PersonCredentials = { url, token, ca, adminFile };
  const text = `${JSON.stringify(credentials, undefined, 2)}\n`;
  writePrivateFile(adminFile, text);
  const own = personCredentialsFile(home);
  // Another cluster's credentials are not touched, unless that cluster's folder has gone.
  const owner = existsSync(own) ? readPersonCredentials(own).adminFile : adminFile;
  if (owner !== undefined && (owner === adminFile || !existsSync(owner))) {
    writePrivateFile(own, text);
  }
  return adminFile;
}

export function parseListen(text: string): { address: string; port: number } {
  const match = text.match(/^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/);
  const port = Number(match?.[3]);
  if (match && port <= 65535) return { address: match[1] ?? match[2]!, port };
  throw new UmbraError(
    'listen-malformed',
    `"${text}" is not an address to listen on`,
    'Give it as ADDRESS:PORT, such as 0.0.0.0:7443 or [::1]:7443.',
  );
}

const anyAddress = new Set(['0.0.0.0', '::']);
const inUrl = (address: string): string => (address.includes(':') ? `[${address}]` : address);

const localUrl = (address: string, port: number): string =>
  `https://${anyAddress.has(address) ? '127.0.0.1' : inUrl(address)}:${port}`;

/** What to tell hosts on other machines. */
const publicUrl = (address: string, port: number): string =>
  `https://${anyAddress.has(address) ? hostname() : inUrl(address)}:${port}`;

/** The package's file is two folders up, in sources and build alike. */
function packageVersion(): string {
  const file = join(import.meta.dirname, '../../package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const listenReasons: Readonly<Record<string, readonly [string, string]>> = {
  EADDRINUSE: ['another program listens there', 'Stop it, or choose another port with --listen.'],
  EACCES: ['this user may not', 'Choose a port of 1024 or more with --listen.'],
  EADDRNOTAVAIL: ['this machine has no such address', 'Give one of its own with --listen.'],
};

function listenError(listen: string, cause: Error & { code?: string }): UmbraError {
  const [why, remedy] = listenReasons[cause.code ?? ''] ?? [
    cause.message,
    'Give another address with --listen.',
  ];
  const message = `the center cannot listen on ${listen}: ${why}`;
  return new UmbraError('listen-failed', message, remedy, { cause });
}
