/**
 * The main job, as a user starts it: a protected Redis VM survives the loss of its host by force
 * and by silence, under a client that counts over one TCP connection.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { DemoReport } from '../../src/cli/demo/story.ts';
import { imagesMissing, umbra } from './umbra.fixture.ts';

/** Floors; SPECIFICATION.md has the figures that were seen. */
const gapMsMax = { kill: 500, silence: 2_000 };

for (const cpus of [1, 2]) {
  test(`umbra demo --cpus ${cpus}`, async (t) => {
    const missing = await imagesMissing('redis');
    if (missing) return t.skip(missing);
    const { code, stdout, stderr } = await umbra(['demo', '--json', '--cpus', String(cpus)]);
    assert.equal(code, 0, `${stdout}${stderr}`);
    const report = JSON.parse(stdout) as DemoReport;
    t.diagnostic(stdout.trim());
    assert.ok(report.ok);
    assert.equal(report.cpus, cpus);
    assert.equal(report.divergences, 0);
    assert.ok(report.fingerprintsCompared > 0);
    assert.deepEqual(
      report.failovers.map(({ kind }) => kind),
      ['kill', 'silence'],
    );
    for (const failover of report.failovers) {
      assert.equal(failover.lost, 0);
      assert.equal(failover.repeated, 0);
      assert.equal(failover.connectionsReset, 0);
      assert.ok(failover.requestsAfter > 0);
      assert.ok(
        failover.gapMs <= gapMsMax[failover.kind],
        `${failover.kind}: ${failover.gapMs} ms`,
      );
    }
    assert.ok(report.log.idleMbitPerSecond <= 0.05, `idle ${report.log.idleMbitPerSecond}`);
  });
}

test('umbra demo on hosts with unlike tiers: every failover crosses them', async (t) => {
  const missing = await imagesMissing('redis');
  if (missing) return t.skip(missing);
  const args = ['demo', '--json', '--tiers', 'interpreter,auto,interpreter'];
  const { code, stdout, stderr } = await umbra(args);
  assert.equal(code, 0, `${stdout}${stderr}`);
  const report = JSON.parse(stdout) as DemoReport;
  t.diagnostic(stdout.trim());
  assert.ok(report.ok);
  assert.equal(report.divergences, 0);
  assert.ok(report.fingerprintsCompared > 0);
  for (const { connectionsReset, gapMs, lost, repeated } of report.failovers) {
    assert.deepEqual(
      { connectionsReset, lost, repeated },
      { connectionsReset: 0, lost: 0, repeated: 0 },
    );
    assert.ok(gapMs <= gapMsMax.silence, `${gapMs} ms`);
  }
});
