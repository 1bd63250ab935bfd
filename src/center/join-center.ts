/**
 * How a further center of a cluster comes by the cluster's certificate authority: a join token made
 * for a center, told to one that is there over a connection on which it was recognised by its
 * fingerprint (api/join.ts). What they remember in common is in etcd; the authority's key is not.
 */
import { join } from 'node:path';
import { Client } from '../api/client.ts';
import { writePrivateFile } from '../api/credentials.ts';
import { fetchAuthority, parseJoinToken } from '../api/join.ts';
import { centerUrl } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';
import { Authority } from './certificates.ts';
import { EtcdStore } from './store/etcd-store.ts';
import type { Store } from './store/store.ts';

export interface JoinCenterOptions {
  readonly data: string;
  readonly join?: string;
  readonly token?: string;
}

/** Joins, unless this folder has an authority already or no center is named. */
export async function joinOtherCenters({
  data,
  join: at,
  token,
}: JoinCenterOptions): Promise<void> {
  if (at === undefined || Authority.exists(data)) return;
  const { secret, fingerprint } = parseJoinToken(token);
  const url = centerUrl(at);
  const ca = await fetchAuthority(url, fingerprint);
  const client = new Client(url, { ca });
  try {
    const { adminToken, ...secrets } = await client.call('joinCenter', { body: { token: secret } });
    const admin = { url, token: adminToken, ca };
    writePrivateFile(join(data, 'admin.json'), `${JSON.stringify(admin, undefined, 2)}\n`);
    // Last: a folder with an authority counts as joined.
    Authority.adopt(data, secrets);
  } finally {
    client.close();
  }
}

/**
 * This folder's authority, which must be the cluster's.
 * @param issuedMs how long the certificates last that it issues
 */
export async function openAuthority(
  data: string,
  store: Store,
  issuedMs?: number,
): Promise<Authority> {
  if (!(store instanceof EtcdStore)) return Authority.open(data, issuedMs);
  const theirs = await store.authority(undefined);
  if (theirs !== undefined && !Authority.exists(data)) throw notJoined(data);
  const authority = await Authority.open(data, issuedMs);
  if ((await store.authority(authority.fingerprint)) !== authority.fingerprint) {
    throw notJoined(data);
  }
  return authority;
}

function notJoined(data: string): UmbraError {
  return new UmbraError(
    'center-not-joined',
    `etcd holds a cluster with another certificate authority than the one in ${data}`,
    'Make a token at one of its centers (umbra center token --kind center) and start with --join URL --token TOKEN on an empty folder.',
  );
}
