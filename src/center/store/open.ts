/** Which store: `--store sqlite`, or `--store etcd://HOST:PORT[,HOST:PORT...]`. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivateFile } from '../../api/credentials.ts';
import { UmbraError } from '../../base/errors.ts';
import { EmbeddedStore } from './embedded-store.ts';
import { type EtcdOptions, EtcdStore } from './etcd-store.ts';
import type { Store } from './store.ts';

export interface EtcdTlsFiles {
  readonly ca: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface StoreOptions {
  readonly data: string;
  readonly store?: string;
  readonly etcdTls?: EtcdTlsFiles;
  readonly onStoreFailure?: (error: unknown) => void;
}

export async function openStore(options: StoreOptions): Promise<Store> {
  const { data, store = 'sqlite', etcdTls } = options;
  if (store === 'sqlite') return new EmbeddedStore(data, options.onStoreFailure);
  const endpoints = parseEtcd(store);
  if (existsSync(join(data, 'center.db'))) {
    throw new UmbraError(
      'store-mixed',
      `the folder ${data} has an embedded store already`,
      'Give an empty folder, or start with --store sqlite.',
    );
  }
  return EtcdStore.open({ endpoints, id: ownId(data), ...(etcdTls && { tls: readTls(etcdTls) }) });
}

function parseEtcd(text: string): string[] {
  const endpoints = text.match(/^etcd:\/\/(.+?)\/?$/)?.[1]?.split(',') ?? [];
  const isEndpoint = (each: string): boolean =>
    /^(\[[0-9a-fA-F:.]+\]|[^:\s/]+):\d{1,5}$/.test(each);
  if (endpoints.length > 0 && endpoints.every(isEndpoint)) return endpoints;
  throw new UmbraError(
    'store-malformed',
    `"${text}" is no store that this version knows`,
    'Give sqlite, or etcd://HOST:PORT with further members behind commas.',
  );
}

function readTls({ ca, certificate, key }: EtcdTlsFiles): NonNullable<EtcdOptions['tls']> {
  const read = (file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (cause) {
      throw new UmbraError(
        'file-unreadable',
        `${file} cannot be read: ${(cause as Error).message}`,
        'Give the PEM files with which etcd is reached.',
        { cause },
      );
    }
  };
  const own = certificate && key ? { certificate: read(certificate), key: read(key) } : {};
  return { ca: read(ca), ...own };
}

/** By which the centers tell each other apart, for as long as the folder lives. */
function ownId(data: string): string {
  const file = join(data, 'center-id');
  if (!existsSync(file)) writePrivateFile(file, `center-${randomBytes(6).toString('hex')}\n`);
  return readFileSync(file, 'utf8').trim();
}
