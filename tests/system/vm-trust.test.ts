/**
 * Certificates and VM processes: the two ends of a log channel take new ones into use without
 * noticing, believe each other with ended ones, and part when one of them is revoked.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Standing } from '../../src/host/trust.ts';
import { pause, TestHosts, until } from './vm-hosts.fixture.ts';
import { Cable } from './vm-wire.fixture.ts';

const standing = (change: Partial<Standing>): { kind: 'standing'; standing: Standing } => ({
  kind: 'standing',
  standing: { revoked: [], certificateEnds: {}, ...change },
});

test('certificates are renewed, end and are superseded under a protected pair', async (t) => {
  const hosts = await TestHosts.start();
  const primary = await hosts.live();
  const cable = await Cable.to(primary.status!.logPort!);
  try {
    const shadow = hosts.shadow(primary, cable.port);
    await hosts.protected(primary);
    const { generation } = hosts.arbiter.entry.record;
    const connections = (): number => cable.made;
    const flap = async (): Promise<void> => {
      const before = resumed();
      cable.cut();
      await pause(20);
      cable.mend();
      await until('the link is resumed', () => resumed() > before);
      await hosts.protected(primary);
      assert.equal(hosts.arbiter.entry.record.generation, generation);
    };
    const resumed = (): number =>
      primary.reports.filter(({ kind }) => kind === 'link-resumed').length;

    await t.test('renewals leave the connection alone', async () => {
      for (let round = 0; round < 3; round++) {
        await hosts.renew(hosts.a);
        await hosts.renew(hosts.b);
        const frames = hosts.a.frames.length;
        await until('outputs are released', () => hosts.a.frames.length > frames + 20);
      }
      assert.equal(connections(), 1);
      await flap();
      assert.doesNotMatch(primary.log + shadow.log, /has ended/);
    });

    await t.test('the next connection is made although both have ended', async () => {
      await hosts.renew(hosts.a, -60_000);
      await hosts.renew(hosts.b, -60_000);
      await pause(100);
      await flap();
      assert.match(primary.log, /log channel: the certificate of b has ended/);
      assert.match(shadow.log, /log channel: the certificate of a has ended/);
    });

    await t.test('not with one that has been superseded', async () => {
      const certificateEnds = { b: Date.now() + 60_000 };
      primary.tell(standing({ certificateEnds }));
      const before = resumed();
      cable.cut();
      cable.mend();
      await until('the refusal', () => /b is refused: .*and it has a newer one/.test(primary.log));
      await until('the primary goes on alone', () => hosts.arbiter.granted('goAlone'));
      assert.equal(resumed(), before);
    });
  } finally {
    cable.close();
    await hosts.close();
  }
});

test('the shadow of a revoked host goes, and its primary goes on alone', async () => {
  const hosts = await TestHosts.start();
  try {
    const { primary, shadow } = await hosts.pair();
    primary.tell(standing({ revoked: ['b'] }));
    await until('its end', () =>
      /the connection with b ends: it has been revoked/.test(primary.log),
    );
    await until('a refusal', () => /b is refused: it has been revoked/.test(primary.log));
    await until('the primary goes on alone', () => hosts.arbiter.granted('goAlone'));
    const frames = hosts.a.frames.length;
    await until('outputs are released', () => hosts.a.frames.length > frames + 20);
    assert.equal((await shadow.ended()).kind, 'lost-claim');
    assert.equal(hosts.b.frames.length, 0);
  } finally {
    await hosts.close();
  }
});

test('the shadow of a revoked primary goes live, and that one says no more', async () => {
  const hosts = await TestHosts.start();
  try {
    const { shadow } = await hosts.pair();
    // The center refuses it before it tells anybody.
    hosts.arbiter.revoked.add('a');
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    shadow.tell(standing({ revoked: ['a'] }));
    await until('the shadow is live', () => shadow.status?.role === 'live');
    assert.equal(hosts.arbiter.entry.record.live?.host, 'b');
    const frames = hosts.b.frames.length;
    await until('the guest goes on', () => hosts.b.frames.length > frames + 50);
    hosts.checkLateFrames(shadow);
    hosts.checkConsole();
  } finally {
    await hosts.close();
  }
});
