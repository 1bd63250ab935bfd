/** A center on a folder that was written before there were users: everybody who was in stays in. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { joinCluster } from '../api/join.ts';
import { InProcessCenter } from './in-process.fixture.ts';
import { EmbeddedStore } from './store/embedded-store.ts';

test('tokens of an earlier version stay good', async () => {
  const center = await InProcessCenter.start();
  try {
    const { token } = center.admin;
    const fingerprint = (await center.token()).split('.')[1]!;
    await center.stop();
    // As it was: tokens without names, join tokens without expiry, no users.
    const store = new EmbeddedStore(join(center.folder, 'data'));
    const hash = (secret: string) => createHash('sha256').update(secret).digest('hex');
    const [fresh, old] = ['f'.repeat(43), 'o'.repeat(43)];
    const dayAgo = new Date(Date.now() - 25 * 3_600_000).toISOString();
    store.transaction(() => {
      store.put('apiTokens', hash(token), { role: 'administrator' });
      store.remove('users', 'admin');
      store.put('joinTokens', hash(fresh), { made: new Date().toISOString(), usedBy: null });
      store.put('joinTokens', hash(old), { made: dayAgo, usedBy: null });
    });
    store.close();
    await center.start();
    assert.equal(center.center.administrator?.name, 'admin', 'there is a first user now');
    assert.equal(center.admin.token, token);
    assert.equal((await center.client(token).call('showSession')).role, 'administrator');
    const [listed] = await center.client(token).call('listApiTokens');
    assert.equal(listed?.name, 'admin.json');
    const joinWith = (secret: string, name: string) =>
      joinCluster({
        ...{ url: center.url, token: `${secret}.${fingerprint}`, kind: 'host' as const, name },
        ...{ addresses: [], directory: join(center.folder, name) },
      });
    await joinWith(fresh, 'a');
    await assert.rejects(joinWith(old, 'b'), { code: 'token-expired' });
    await center.client(token).call('listJoinTokens');
  } finally {
    await center.close();
  }
});

test('whoever may write the folder is let in again when the token there was revoked', async () => {
  const center = await InProcessCenter.start();
  try {
    const { token } = center.admin;
    const [own] = await center.client().call('listApiTokens');
    await center.client().call('revokeApiToken', { params: { token: own!.id } });
    await assert.rejects(center.client(token).call('listVms'), { code: 'credentials-refused' });
    await center.stop();
    await center.start();
    assert.notEqual(center.admin.token, token);
    await center.client().call('listVms');
    const copy = readFileSync(join(center.home, 'credentials.json'), 'utf8');
    assert.ok(copy.includes(center.admin.token), "the local user's copy, too");
  } finally {
    await center.close();
  }
});
