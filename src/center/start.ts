/**
 * Starts a center on a folder of data, and at its first start makes the cluster: authority, store,
 * the administrator's token (`admin.json`, readable by its owner only), a first join token.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
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
import type { AuditView } from '../api/people.ts';
import type { EventView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { keepCenterCertificate } from './center-certificate.ts';
import { Authority } from './certificates.ts';
import { Cluster } from './cluster.ts';
import { Forwarding } from './forward.ts';
import type { Context } from './handler.ts';
import { Idempotency } from './idempotency.ts';
import { joinOtherCenters, openAuthority } from './join-center.ts';
import { takePart } from './leadership.ts';
import { adminWish } from './people/api-tokens.ts';
import { makeJoinToken } from './people/join-tokens.ts';
import { People } from './people/people.ts';
import { newSecret } from './people/secrets.ts';
import type { ThrottleRule } from './people/throttle.ts';
import type { Limits } from './placement.ts';
import { createServer } from './server.ts';
import { type EtcdTlsFiles, openStore } from './store/open.ts';

export interface CenterOptions {
  readonly data: string;
  /** `ADDRESS:PORT`; port 0 takes a free one. */
  readonly listen: string;
  /** UMBRA_HOME: where images are built, and where credentials go if there are none. */
  readonly home: string;
  /** `sqlite`, or etcd's members: `etcd://HOST:PORT[,HOST:PORT...]`. */
  readonly store?: string;
  /** PEM files for etcd. */
  readonly etcdTls?: EtcdTlsFiles;
  /** A center of the cluster that this one joins at its first start, and the token for it. */
  readonly join?: string;
  readonly token?: string;
  /** At which URL others reach this center; by default its address, or this machine's name. */
  readonly advertise?: string;
  readonly limits?: Limits;
  /** How long VMs on datastores may run on without a word of the arbiter, milliseconds. */
  readonly haLeaseMs?: number;
  /** How long the certificates last that it issues; shorter in tests. */
  readonly certificateMs?: number;
  /** `/metrics` needs no credentials. */
  readonly metricsOpen?: boolean;
  /** How failed logins of one user are slowed. */
  readonly loginRule?: ThrottleRule;
  readonly onEvent?: (event: EventView) => void;
  readonly onAudit?: (record: AuditView) => void;
  readonly onBug?: (error: unknown) => void;
  /** The disk has failed under the store. The process must end. */
  readonly onStoreFailure?: (error: unknown) => void;
}

export interface Center {
  readonly url: string;
  /** Only at the first start. */
  readonly joinToken: string | undefined;
  /** Of the first administrator, only when it was made: its password is nowhere else. */
  readonly administrator: { readonly name: string; readonly password: string } | undefined;
  readonly adminFile: string;
  /** For tests and for programs that embed a center. */
  readonly cluster: Cluster;
  close(): Promise<void>;
}

export const defaultLimits: Limits = { ftVmsMax: 4, ftCpusMax: 8 };
export const defaultListen = '0.0.0.0:7443';

export async function startCenter(options: CenterOptions): Promise<Center> {
  const { data } = options;
  const { address, port } = parseListen(options.listen);
  await joinOtherCenters(options);
  const isFirstStart = !existsSync(join(data, 'center.db')) && !Authority.exists(data);
  const store = await openStore(options);
  // Also where the folder was there before: in it are the authority's key and people's tokens.
  mkdirSync(data, { recursive: true, mode: 0o700 });
  chmodSync(data, 0o700);
  const cluster = new Cluster({
    store,
    home: options.home,
    data,
    limits: options.limits ?? defaultLimits,
    haLeaseMs: options.haLeaseMs,
    onAudit: options.onAudit,
    ...(options.onEvent && { onEvent: options.onEvent }),
  });
  try {
    const people = new People(store, options.loginRule);
    const authority = await openAuthority(data, store, options.certificateMs);
    cluster.daemonConnections.trust(authority.certificatePem);
    const context: Context = {
      ...{ cluster, authority, people, version: packageVersion() },
      audit: cluster.audit,
      idempotency: new Idempotency(store),
      forwarding: new Forwarding(authority.secrets.key),
    };
    const tls = await authority.center(data);
    const server = await createServer(context, tls, {
      onBug: options.onBug ?? (() => {}),
      metricsOpen: options.metricsOpen ?? false,
    });
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
    const url = options.advertise ?? publicUrl(address, bound);
    const stop = await takePart(store, cluster, url, isFirstStart);
    const adminFile = writeCredentials(options, context, localUrl(address, bound), tls.ca);
    return {
      url,
      joinToken: firstToken(context),
      administrator: await firstAdministrator(context),
      adminFile,
      cluster,
      async close() {
        stopKeeping();
        stop();
        cluster.close();
        await server.close();
        await store.settled().catch(() => {});
        await store.close();
      },
    };
  } catch (error) {
    cluster.close();
    await store.close();
    throw error;
  }
}

/** The administrator's first, once in the life of a cluster. */
function firstToken({ cluster: { store }, authority }: Context): string | undefined {
  if (!store.leads || store.get('meta', 'welcomed') !== undefined) return undefined;
  store.put('meta', 'welcomed', 'yes');
  return `${makeJoinToken(store, 'center').secret}.${authority.fingerprint}`;
}

/** A cluster without users gets one who may make the others. */
async function firstAdministrator({ cluster, people }: Context): Promise<Center['administrator']> {
  if (!cluster.store.leads || people.users.all.length > 0) return undefined;
  const [name, password] = ['admin', newSecret().slice(0, 24)];
  await people.users.add(name, 'administrator', password);
  return { name, password };
}

/**
 * The administrator's file, with the address that holds now; a copy for the local user. Whoever may
 * write the center's folder is the cluster's administrator: a token in the file that this center does
 * not know, or that was revoked, is replaced by a new one.
 */
function writeCredentials(
  { data, home }: CenterOptions,
  { cluster, people }: Context,
  url: string,
  ca: string,
): string {
  const adminFile = resolve(data, 'admin.json');
  const known = existsSync(adminFile) ? readPersonCredentials(adminFile).token : undefined;
  const isGood =
    known !== undefined &&
    // A center that follows makes none; the one that it was given may still be on its way.
    (!cluster.store.leads || people.tokens.upgrade(known, adminWish) !== undefined);
  const token = isGood ? known : people.tokens.make(adminWish).secret;
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
