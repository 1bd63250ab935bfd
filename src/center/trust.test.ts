/**
 * Whom a real center process believes, and for how long: certificates that last for four seconds,
 * hosts that are real at the wire.
 */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { cpSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { WebSocket } from 'ws';
import { certificateRequest } from '../api/certificate-request.ts';
import { Client } from '../api/client.ts';
import { readDaemonCredentials, writeIdentity } from '../api/credentials.ts';
import { joinCluster } from '../api/join.ts';
import { Renewal } from '../api/renewal.ts';
import { centerName, daemonTrust, tlsOptions } from '../api/wire.ts';
import type { UmbraError } from '../base/errors.ts';
import { TestCenter, TestHost, until } from './cluster.fixture.ts';

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as UmbraError).code, expected, String(error));
  return true;
};
const endOf = (host: TestHost): number =>
  new X509Certificate(readFileSync(host.credentials.certificateFile)).validToDate.getTime();
const hasEnded = (host: TestHost) =>
  until('the end of a certificate', () => (Date.now() > endOf(host) + 50 ? true : undefined));
const read = { kind: 'read' } as const;

describe('certificates that last for four seconds', () => {
  let center: TestCenter;
  before(async () => {
    center = await TestCenter.start(['--certificate-seconds', '4']);
  });
  after(() => center.close());

  /** With the files as they are now. */
  const again = (host: TestHost, folder = host.name): TestHost =>
    new TestHost(center.url, host.name, readDaemonCredentials(join(center.folder, folder))!);

  test('the center renews its own, and connections that stand go on', async () => {
    const shown = () =>
      new Promise<string>((resolve, reject) => {
        const { ca } = center.client.wire.trust;
        const { hostname: host, port } = new URL(center.url);
        const socket = connect({ host, port: Number(port), ca, servername: centerName }, () => {
          resolve(socket.getPeerX509Certificate()!.serialNumber);
          socket.destroy();
        });
        socket.once('error', reject);
      });
    const first = await shown();
    const host = await center.host('steady');
    const second = await until('another certificate', async () => {
      const now = await shown();
      return now === first ? undefined : now;
    });
    await until('a third', async () => ((await shown()) === second ? undefined : true));
    assert.ok(host.isConnected && host.refused === undefined);
    assert.equal(statSync(join(center.data, 'center-key.pem')).mode & 0o777, 0o600);
  });

  test('a daemon renews its own with a new key, and its identity stays', async () => {
    const host = await center.host('renewing');
    const before = readFileSync(host.credentials.keyFile, 'utf8');
    const ends: number[] = [endOf(host)];
    const renewal = new Renewal({
      urls: () => [center.url],
      credentials: host.credentials,
      renewed: (endsAt) => ends.push(endsAt.getTime()),
      failed: (why) => assert.fail(why),
    });
    renewal.start();
    await until('three renewals', () => (ends.length >= 4 ? true : undefined));
    renewal.close();
    assert.deepEqual(ends, [...ends].sort());
    const text = readFileSync(host.credentials.keyFile, 'utf8');
    assert.notEqual(text, before);
    assert.equal(statSync(host.credentials.keyFile).mode & 0o777, 0o600);
    const { subject, subjectAltName } = new X509Certificate(text);
    assert.equal(subject, `CN=${host.id}\nOU=host`);
    assert.match(String(subjectAltName), /DNS:renewing, .*IP Address:127\.0\.0\.1/);
    assert.ok(host.isConnected, 'the connection of before has not noticed');
  });

  test('one that has ended still counts, and is told of', async () => {
    const host = await TestHost.join(center, 'late');
    await hasEnded(host);
    await host.connect();
    assert.equal(host.refused, undefined);
    assert.equal((await host.ask('v', read)).refusal, 'unknown-vm');
    const [event] = await center.events('certificate-ended');
    assert.match(event!.text, /^late is here with a certificate that ended on 20/);
    host.close();
  });

  test('one that has ended counts no more once its owner has shown a newer one', async () => {
    const host = await TestHost.join(center, 'copied');
    cpSync(join(center.folder, 'copied'), join(center.folder, 'stolen'), { recursive: true });
    await hasEnded(host);
    const { request, key } = await certificateRequest('whatever it says');
    const { certificate } = await host.client.call('renewCertificate', {
      body: { certificateRequest: request },
    });
    writeIdentity(join(center.folder, 'copied'), certificate, key);
    const renewed = again(host);
    assert.equal((await renewed.ask('v', read)).refusal, 'unknown-vm');
    const thief = again(host, 'stolen');
    await assert.rejects(thief.ask('v', read), code('certificate-ended'));
    await thief.connect();
    assert.equal(thief.refused?.code, 'certificate-ended');
    assert.match(thief.refused!.message, /copied is refused: .* and it has a newer one/);
    for (const each of [host, renewed, thief]) each.close();
  });
});

describe('who may be whom', () => {
  let center: TestCenter;
  let a: TestHost;
  before(async () => {
    center = await TestCenter.start();
    center.addImage('tiny');
    a = await center.host('a');
  });
  after(() => center.close());

  test('people renew no certificates, and nobody gets one of another name', async () => {
    const { request } = await certificateRequest(centerName);
    const body = { certificateRequest: request };
    await assert.rejects(center.client.call('renewCertificate', { body }), code('access-denied'));
    const { certificate } = await a.client.call('renewCertificate', { body });
    assert.equal(new X509Certificate(certificate).subject, `CN=${a.id}\nOU=host`);
    const { ca } = center.client.wire.trust;
    const nobody = new Client(center.url, { ca });
    await assert.rejects(nobody.call('renewCertificate', { body }), code('credentials-missing'));
    nobody.close();
  });

  test("a gateway's certificate does not make a host", async () => {
    const credentials = await joinCluster({
      ...{ url: center.url, token: await center.token(), kind: 'gateway', name: 'gate' },
      ...{ addresses: ['127.0.0.1'], directory: join(center.folder, 'gate') },
    });
    const gate = new TestHost(center.url, 'gate', credentials);
    await gate.connect();
    assert.equal(gate.refused?.code, 'certificate-of-another');
    assert.match(gate.refused!.message, /it has joined as a gateway/);
    await assert.rejects(gate.ask('v', read), code('access-denied'));
    await assert.rejects(
      gate.client.wire.open('GET', '/images/tiny/files/Image'),
      code('access-denied'),
    );
    gate.close();
  });

  test('a host starts and speaks for no VM that is not placed on it', async () => {
    const b = await center.host('b');
    const body = { name: 'web', image: 'tiny', host: 'a' };
    const { id } = await center.client.call('createVm', { body });
    await center.client.call('startVm', { params: { vm: 'web' }, body: {} });
    await a.order('start');
    const stale = { kind: 'start', acceptStale: true } as const;
    await assert.rejects(b.ask(id, stale), code('access-denied'));
    assert.ok((await a.ask(id, stale)).granted);
    a.report(id, 'live', { generation: 1 });
    // It would put the copy aside that runs.
    await assert.rejects(b.ask(id, { ...stale, fenced: true }), code('access-denied'));
    assert.equal((await b.ask(id, stale)).refusal, 'already-live');
    for (const host of [b, a]) {
      const bytes = Buffer.from(host.name).toString('base64');
      host.send({ kind: 'console', vm: id, offset: '0', bytes });
    }
    const { openConsole } = await import('../api/console.ts');
    let shown = '';
    const viewer = openConsole(center.client, 'web', {
      onOutput: (output) => {
        shown += Buffer.from(output).toString();
      },
      onEnd: () => {},
    });
    await until('the console', () => (shown === '' ? undefined : true));
    assert.equal(shown, 'a');
    viewer.close();
  });
});

describe('a host that is revoked', () => {
  let center: TestCenter;
  before(async () => {
    center = await TestCenter.start();
    center.addImage('tiny');
  });
  after(() => center.close());

  test('it is refused on every way in, its connections end, and all others are told', async () => {
    const [a, b] = [await center.host('a'), await center.host('b')];
    const body = { name: 'web', image: 'tiny', host: 'a' };
    const { id } = await center.client.call('createVm', { body });
    await center.client.call('startVm', { params: { vm: 'web' }, body: {} });
    await a.order('start');
    assert.ok((await a.ask(id, { kind: 'start', acceptStale: true })).granted);
    a.report(id, 'live', { generation: 1 });
    await until('the report', async () => {
      const [host] = await center.client.call('listHosts');
      return host?.vmPids.length === 1 ? true : undefined;
    });
    const remove = center.client.call('removeHost', { params: { host: 'a' } });
    await assert.rejects(remove, code('host-busy'));
    // One that is past the handshake and says nothing; one that reads nothing that it is told.
    const silent = connect({
      ...tlsOptions(daemonTrust(a.credentials)),
      host: '127.0.0.1',
      port: Number(new URL(center.url).port),
    });
    silent.on('error', () => {});
    const ended = new Promise((resolve) => silent.once('close', resolve));
    silent.write('GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n');
    await new Promise((resolve) => silent.once('data', resolve));
    const deaf = new WebSocket(`${center.url.replace('https', 'wss')}/api/v1/agent`, {
      ...tlsOptions(daemonTrust(a.credentials)),
    });
    const cut = new Promise((resolve) => deaf.once('close', resolve));
    deaf.on('error', () => {});
    await new Promise((resolve) => deaf.once('open', resolve));
    b.heard.length = 0;

    await center.client.call('revokeHost', { params: { host: 'a' } });
    const peers = await b.order('peers');
    assert.deepEqual(peers.revoked, [a.id]);
    assert.ok(peers.peers.every((peer) => peer.id !== a.id));
    await until('the refusal', () => a.refused);
    assert.equal(a.refused?.code, 'host-revoked');
    await Promise.all([ended, cut]);
    await assert.rejects(a.ask(id, read), code('host-revoked'));
    const image = a.client.wire.open('GET', '/images/tiny/files/Image');
    await assert.rejects(image, code('host-revoked'));
    const { request } = await certificateRequest('a');
    const renewal = a.client.call('renewCertificate', { body: { certificateRequest: request } });
    await assert.rejects(renewal, code('host-revoked'));
    const back = new TestHost(center.url, 'a', a.credentials);
    await back.connect();
    assert.equal(back.refused?.code, 'host-revoked');
    back.close();
    const hosts = await center.client.call('listHosts');
    assert.deepEqual(
      hosts.map(({ name }) => name),
      ['b'],
    );
    assert.equal((await center.events('host-revoked')).length, 1);
  });
});
