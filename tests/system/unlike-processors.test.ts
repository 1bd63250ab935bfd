/**
 * A pair on unlike processors: the VM process of one host is executed by this machine's Node, that
 * of the other by Node for ARM64 under the user-mode emulator. The machine goes live on the one, is
 * protected, lost, goes on on the other, is protected again, lost again, and is back.
 *
 * The emulated host is slower than the one it stands for, by a factor that is not the protocol's
 * concern: both copies have a slow clock (slow-clock.ts), by which nothing is slower than usual.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import test from 'node:test';
import { armNodeMissing, writeArmNode } from '../machine/arm-node.fixture.ts';
import { frameNumber } from './vm-guest.fixture.ts';
import { type TestHost, TestHosts, type TestVm, until } from './vm-hosts.fixture.ts';

const slowClock = ['--import', resolve(import.meta.dirname, 'slow-clock.ts')];
const waitMsMax = 100_000;

const skip = armNodeMissing();

const numbers = (host: TestHost): number[] => host.frames.map(({ frame }) => frameNumber(frame));

/** Frames go out at this host. */
async function goesOn(host: TestHost): Promise<void> {
  const { length } = host.frames;
  await until('frames go out', () => host.frames.length > length + 10, waitMsMax);
}

/** The two copies run, and are compared; there is no difference. */
async function compared(primary: TestVm, shadow: TestVm): Promise<void> {
  await until(
    'the pair is protected',
    () => {
      assert.equal(shadow.gone, false, `the shadow has ended: ${shadow.log}`);
      return primary.status?.ftState === 'running';
    },
    waitMsMax,
  );
  await until('a fingerprint', () => shadow.status!.fingerprintsCompared >= 1, waitMsMax);
  assert.equal(shadow.status!.divergences, 0);
}

/** The host of the primary is lost, its trunk with it: the other copy is live. */
async function lose(primary: TestVm, shadow: TestVm): Promise<void> {
  await goesOn(primary.host);
  shadow.tell({ kind: 'trunk', host: primary.host.id, up: false });
  primary.kill();
  await until('the shadow is live', () => shadow.status?.role === 'live', waitMsMax);
  await goesOn(shadow.host);
}

test('from x86-64 to ARM64 and back', { skip, timeout: 300_000 }, async (t) => {
  const hosts = await TestHosts.start({ cpus: 2 });
  try {
    hosts.a.node = join(hosts.a.folder, 'node');
    const words = [process.execPath, ...slowClock].map((word) => `'${word}'`).join(' ');
    writeFileSync(hosts.a.node, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
    hosts.b.node = writeArmNode(hosts.b.folder, ...slowClock);
    const first = await hosts.live();
    const second = hosts.shadow(first);
    await compared(first, second);
    await lose(first, second);
    const third = hosts.shadow(second);
    await compared(second, third);
    await lose(second, third);
    hosts.checkConsole();
    // Each frame went out; those that were kept may have come twice, from the next copy.
    const seen = new Set([...numbers(hosts.a), ...numbers(hosts.b)]);
    for (let number = 0; number < seen.size; number++) assert.ok(seen.has(number), `${number}`);
    const said = hosts.vms.map(({ log }) => /by the tier auto on (\w+)/.exec(log)?.[1]);
    assert.deepEqual(said, ['x64', 'arm64', 'x64']);
  } finally {
    for (const { host, log, reports } of hosts.vms) {
      t.diagnostic(`${host.id}: ${log}${JSON.stringify(reports).slice(0, 600)}`);
    }
    await hosts.close();
  }
});
