import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseDatastore } from '../cli/values.ts';
import { openBootClock } from './boot-clock.ts';
import { Datastores } from './datastores.ts';

describe('datastores', () => {
  let path: string;
  before(() => {
    path = mkdtempSync(join(tmpdir(), 'umbra-datastore-'));
  });
  after(() => rmSync(path, { recursive: true, force: true }));

  const open = (at = path, name = 'shared') => Datastores.open([{ name, path: at }]);

  test('hosts that come first at the same time agree on one id', async () => {
    const all = await Promise.all([open(), open(), open(), open()]);
    const ids = new Set(all.map(({ list }) => list[0]!.id));
    assert.equal(ids.size, 1);
    const again = await open();
    assert.ok(ids.has(again.list[0]!.id));
    const [left] = readdirSync(path).filter((name) => name.startsWith('.'));
    assert.equal(left, undefined);
    assert.equal(typeof again.list[0]!.canClone, 'boolean');
  });

  test("a VM's folder is there only while the right storage is", async () => {
    const datastores = await open();
    const [{ id } = { id: '' }] = datastores.list;
    const folder = await datastores.folderOf({ name: 'shared', id }, 'vm-1');
    assert.ok(existsSync(folder));
    assert.equal(datastores.find('vm-1'), folder);
    const other = { name: 'shared', id: '0'.repeat(32) };
    await assert.rejects(datastores.folderOf(other, 'vm-1'), { code: 'datastore-not-here' });
    // Unmounted: what is underneath has no marker.
    const [marker, away] = [join(path, 'umbra-datastore.json'), join(path, 'away')];
    renameSync(marker, away);
    const present = { name: 'shared', id };
    await assert.rejects(datastores.folderOf(present, 'vm-1'), { code: 'datastore-not-here' });
    renameSync(away, marker);
    await datastores.remove('vm-1');
    assert.equal(existsSync(folder), false);
  });

  test('what is not there, or foreign, is refused with its reason', async () => {
    await assert.rejects(open(join(path, 'nowhere')), { code: 'datastore-unusable' });
    await assert.rejects(open('relative'), { code: 'datastore-unusable' });
    const foreign = mkdtempSync(join(tmpdir(), 'umbra-datastore-'));
    writeFileSync(join(foreign, 'umbra-datastore.json'), '{"format":9,"id":"x"}');
    await assert.rejects(open(foreign), { code: 'datastore-unusable' });
    rmSync(foreign, { recursive: true });
  });

  test('on the command line a name and an absolute path are wanted', () => {
    assert.deepEqual(parseDatastore('shared=/mnt/a=b'), { name: 'shared', path: '/mnt/a=b' });
    for (const wrong of ['shared', '=/mnt', 'Shared=/mnt', 'shared=mnt']) {
      assert.throws(() => parseDatastore(wrong), { code: 'datastore-malformed' });
    }
  });
});

test('the boot clock runs', async () => {
  const clock = openBootClock()!;
  const from = clock.now();
  await new Promise((resolve) => setTimeout(resolve, 60));
  const passed = clock.now() - from;
  assert.ok(passed >= 40_000 && passed < 5_000_000, String(passed));
});
