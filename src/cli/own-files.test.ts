/**
 * `umbra image import` and `umbra vm create --kernel` against a center on this machine, and against
 * one that does not see the files.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { InProcessCenter } from '../center/in-process.fixture.ts';

const program = join(import.meta.dirname, 'main.ts');
const run = promisify(execFile);
let center: InProcessCenter;
/** A home that the center does not look into. */
let away: string;
let kernel: string;
let disk: string;

before(async () => {
  center = await InProcessCenter.start();
  away = join(center.folder, 'away');
  mkdirSync(away);
  kernel = join(center.folder, 'kernel');
  disk = join(center.folder, 'disk');
  writeFileSync(kernel, Buffer.alloc(100, 'a flat binary'));
  writeFileSync(disk, Buffer.alloc(1024, 'a disk'));
});
after(() => center.close());

async function umbraAt(home: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, UMBRA_HOME: home };
  return (await run(process.execPath, [program, ...args], { env })).stdout;
}
const umbra = (...args: string[]) => umbraAt(center.home, ...args);
const fails = (work: Promise<string>, says: RegExp, exit = 1) =>
  assert.rejects(work, (error: { stderr: string; code: number }) => {
    assert.match(error.stderr.replaceAll('\n', ' '), says);
    assert.equal(error.code, exit);
    return true;
  });

const images = (home: string): string[] => {
  const folder = join(home, 'images');
  return existsSync(folder) ? readdirSync(folder).filter((name) => name !== '.lock') : [];
};
const vms = async () => (await center.client().call('listVms')).map(({ name }) => name);

test('a VM keeps the bytes that it was created from, and no image is left', async () => {
  const create = ['vm', 'create', 'web', '--kernel', kernel, '--disk', disk, '--json'];
  const key = ['--idempotency-key', 'once'];
  const made = JSON.parse(await umbra(...create, ...key));
  assert.equal(made.image, 'web-own');
  const pinned = join(center.folder, 'data', 'images', made.imageDigest);
  assert.deepEqual(readFileSync(join(pinned, 'Image')), readFileSync(kernel));
  assert.deepEqual(readFileSync(join(pinned, 'disk-0.raw')), readFileSync(disk));
  assert.deepEqual(images(center.home), []);
  // The same files are the same image: tried again, it is the same VM.
  assert.equal(JSON.parse(await umbra(...create, ...key)).id, made.id);
  await fails(umbra(...create), /there is a VM "web" already/);
  assert.deepEqual(images(center.home), []);
  await umbra('vm', 'delete', 'web');
  assert.ok(!existsSync(pinned));
});

test('an imported image makes as many VMs as one likes', async () => {
  const files = ['--kernel', kernel, '--initrd', disk, '--disk', disk, '--disk', disk];
  const asked = ['--append', 'root=/dev/vda', '--memory', '64M'];
  const imported = JSON.parse(await umbra('image', 'import', 'mine', ...files, ...asked, '--json'));
  assert.equal(imported.disks.length, 2);
  assert.match(await umbra('image', 'list'), /mine +\S+ MB +- +imported/);
  for (const name of ['one', 'two']) {
    const made = JSON.parse(await umbra('vm', 'create', name, '--image', 'mine', '--json'));
    assert.deepEqual([made.imageDigest, made.memoryBytes], [imported.digest, 64 << 20]);
    await umbra('vm', 'delete', name);
  }
});

test('a center that does not see the files is told apart, whatever it has of that name', async () => {
  const credentials = ['--credentials', join(center.folder, 'data', 'admin.json')];
  const create = ['vm', 'create', 'far', '--kernel', kernel, '--disk', disk, ...credentials];
  const elsewhere = /is not here: it does not see what is in .*away.*umbra image import NAME/;
  await fails(umbraAt(away, ...create), elsewhere);
  center.addImage('far-own');
  await fails(umbraAt(away, ...create), elsewhere);
  assert.deepEqual(await vms(), []);
  assert.deepEqual(images(away), []);
  // Of an address that cannot be this machine's nothing is copied.
  const far = [...create, '--center', 'https://192.0.2.1:8443'];
  await fails(umbraAt(away, ...far), /is not here: that is another machine/);
});

test('what cannot be is refused before anything is copied', async () => {
  await fails(umbra('vm', 'create', 'x'), /either --image, or --kernel/, 2);
  const both = ['vm', 'create', 'x', '--kernel', kernel, '--image', 'mine'];
  await fails(umbra(...both), /either --image, or --kernel/, 2);
  const unused = ['vm', 'create', 'x', '--image', 'mine', '--disk', disk];
  await fails(umbra(...unused), /either --image, or --kernel/, 2);
  const seven = Array.from({ length: 7 }, () => ['--disk', disk]).flat();
  await fails(umbra('vm', 'create', 'x', '--kernel', kernel, ...seven), /at most 6 disks/, 2);
  const packed = join(center.folder, 'kernel.gz');
  writeFileSync(packed, Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(100)]));
  await fails(umbra('vm', 'create', 'x', '--kernel', packed), /compressed with gzip.*Image/);
  await fails(umbra('image', 'import', 'x', '--kernel', join(away, 'none')), /ENOENT/);
  assert.deepEqual(images(center.home).sort(), ['far-own', 'mine']);
});
