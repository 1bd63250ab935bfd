/** What a center that passes a request on says of its origin: believed from centers only. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FastifyRequest } from 'fastify';
import { Forwarding } from './forward.ts';

const request = (ip: string, headers: Record<string, string>) =>
  ({ ip, headers: { host: 'leader:7443', ...headers } }) as unknown as FastifyRequest;

test('the origin of a forwarded request is the one that the other center has seen', () => {
  const [follower, leader] = [new Forwarding('key'), new Forwarding('key')];
  const asked = request('192.0.2.7', { host: 'follower:7443' });
  const header = Object.fromEntries([follower.header(asked)]);
  assert.deepEqual(leader.originOf(request('10.0.0.2', header)), {
    ...{ address: '192.0.2.7', host: 'follower:7443' },
  });
});

test('nobody else can say where a request comes from', () => {
  const leader = new Forwarding('key');
  const own = { address: '198.51.100.1', host: 'leader:7443' };
  const asked = request('192.0.2.7', { host: 'follower:7443' });
  const [name, forged] = new Forwarding('another key').header(asked);
  const [, sealed] = leader.header(asked);
  const other = Buffer.from('["127.0.0.1","x"]').toString('base64url');
  for (const value of [forged, '', '.', 'a.b', sealed.slice(0, -1), other, `${other}.${sealed}`]) {
    assert.deepEqual(leader.originOf(request(own.address, { [name]: value })), own, value);
  }
  assert.deepEqual(leader.originOf(request(own.address, {})), own);
});
