/**
 * Whom the parties of a cluster believe: real TLS between each two of them, with certificates of
 * every wrong kind. The rules that hosts apply to each other (trust.ts) stand at both ends.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { Credentials } from '../api/credentials.ts';
import { type MemberKind, trustLater } from '../api/peer-certificate.ts';
import { centerName } from '../api/wire.ts';
import { TestAuthority } from './certificates.fixture.ts';
import { type Judgement, Trust } from './trust.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-trust-'));
const own = (name: string): string => join(folder, name);
let authority: TestAuthority;
let foreign: TestAuthority;
let here: Credentials;

before(async () => {
  authority = await TestAuthority.create(folder);
  foreign = await TestAuthority.create(folder);
  here = await authority.issue('here');
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** What two ends of one connection think of each other: the one that accepts, the one that dials. */
async function meet(
  accepting: Trust,
  dialing: Trust,
  kinds: Readonly<Record<string, MemberKind>> = { here: 'host', there: 'host' },
): Promise<[accepting: Judgement, dialing: Judgement]> {
  const kindOf = (id: string) => kinds[id];
  const accepted = Promise.withResolvers<TLSSocket>();
  const server = createServer({ ...accepting.mutual, ...trustLater }, accepted.resolve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const near = connect({ ...dialing.mutual, ...trustLater, host: '127.0.0.1', port });
  try {
    await new Promise((resolve, reject) =>
      near.once('secureConnect', resolve).once('error', reject),
    );
    const far = await accepted.promise;
    assert.equal(far.getProtocol(), 'TLSv1.3');
    const judgements = [accepting.judge(far, kindOf), dialing.judge(near, kindOf)] as const;
    far.destroy();
    return [...judgements];
  } finally {
    near.destroy();
    server.close();
  }
}

/** Both ends of both directions refuse what is wrong, in these words. */
async function refusedEverywhere(
  wrong: Credentials,
  words: RegExp,
  right = new Trust(here),
): Promise<void> {
  // It believes whomever it meets, as an intruder would.
  const intruder = new Trust({ ...wrong, caFile: here.caFile });
  const [byAccepting] = await meet(right, intruder);
  assert.match(String(byAccepting.refused), words);
  const [, byDialing] = await meet(intruder, right);
  assert.match(String(byDialing.refused), words);
}

const endsInMs = -60_000;

test('hosts of a cluster believe each other', async () => {
  const there = new Trust(await authority.issue('there', own('believed')));
  const [a, b] = await meet(new Trust(here), there);
  assert.deepEqual(a, { name: 'there', refused: undefined, hasEnded: false });
  assert.deepEqual(b, { name: 'here', refused: undefined, hasEnded: false });
});

test('a certificate of a foreign CA is refused, also one that has ended', async () => {
  const words = /its certificate is not (one )?of this cluster/;
  await refusedEverywhere(await foreign.issue('there', own('foreign')), words);
  // OpenSSL says of it last that it has ended, and that alone would be forgiven.
  const ended = await foreign.issue('there', own('foreign-ended'), { endsInMs });
  await refusedEverywhere(ended, words);
});

test('a certificate that is nobody known here is refused', async () => {
  await refusedEverywhere(await authority.issue('stranger', own('stranger')), /not known here/);
});

test("a gateway's certificate does not pass for a host's, nor does the center's", async () => {
  const gateway = await authority.issue('there', own('gateway'), { kind: 'gateway' });
  await refusedEverywhere(gateway, /its certificate is that of a gateway/);
  const center = await authority.issue(centerName, own('center'));
  const [byAccepting] = await meet(new Trust(here), new Trust(center), { [centerName]: 'host' });
  assert.match(String(byAccepting.refused), /its certificate is that of a center/);
});

test('whoever has been revoked is refused with a certificate that is good', async () => {
  const right = new Trust(here);
  right.learn({ revoked: ['there'], certificateEnds: {} });
  await refusedEverywhere(await authority.issue('there', own('revoked')), /revoked/, right);
});

test('no certificate is no member', async () => {
  const server = createServer({ ...new Trust(here).mutual, ...trustLater }, (socket) => {
    const judgement = new Trust(here).judge(socket, () => 'host');
    assert.match(String(judgement.refused), /shown no certificate/);
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const near = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  near.on('error', () => {});
  near.resume();
  await new Promise((resolve) => near.once('close', resolve));
  server.close();
});

test('a certificate that has ended counts until its owner has shown a newer one', async () => {
  const right = new Trust(here);
  const ended = await authority.issue('there', own('ended'), { endsInMs });
  const [a, b] = await meet(right, new Trust(ended));
  assert.deepEqual(a, { name: 'there', refused: undefined, hasEnded: true });
  assert.equal(b.refused, undefined);
  // The same is known of it: nothing newer.
  const endsAt = Math.floor((Date.now() + endsInMs) / 1000) * 1000;
  right.learn({ revoked: [], certificateEnds: { there: endsAt - 5_000 } });
  assert.equal((await meet(right, new Trust(ended)))[0].refused, undefined);
  right.learn({ revoked: [], certificateEnds: { there: Date.now() + 1_000_000 } });
  await refusedEverywhere(ended, /ended on 20\d\d-\d\d-\d\d, and it has a newer one/, right);
});

test('a renewed certificate is used for the next connection', async () => {
  const directory = own('renewed');
  const there = new Trust(await authority.issue('there', directory, { endsInMs }));
  await authority.issue('there', directory);
  assert.equal(((await meet(new Trust(here), there))[0] as { hasEnded: boolean }).hasEnded, true);
  there.renew();
  assert.equal(((await meet(new Trust(here), there))[0] as { hasEnded: boolean }).hasEnded, false);
});

test('a peer whose clock is an hour behind believes a certificate of this moment', async () => {
  const { Authority } = await import('../center/certificates.ts');
  const { certificateRequest } = await import('../api/certificate-request.ts');
  const real = await Authority.open(own('authority'));
  const { request } = await certificateRequest('x');
  const identity = { commonName: 'x', unit: 'host', names: ['x'], addresses: [] } as const;
  const { X509Certificate } = await import('node:crypto');
  const { validFromDate, validToDate } = new X509Certificate(await real.sign(request, identity));
  const hours = (date: Date): number => (date.getTime() - Date.now()) / 3_600_000;
  assert.ok(hours(validFromDate) < -23 && hours(validFromDate) > -25, String(validFromDate));
  assert.ok(hours(validToDate) > 24 * 89 && hours(validToDate) <= 24 * 90, String(validToDate));
});
