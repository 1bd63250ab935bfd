/** What VMs keep of images: whole or not there, shared, and as long as a VM is made of it or has it. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Images } from './images.ts';
import { describeImage } from './in-process.fixture.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function folder(parent = tmpdir()): string {
  const made = mkdtempSync(join(parent, 'umbra-images-'));
  folders.push(made);
  return made;
}

function build(home: string, initrd: Uint8Array = Buffer.from('initrd')): void {
  const image = join(home, 'images', 'tiny');
  mkdirSync(image, { recursive: true });
  writeFileSync(join(image, 'Image'), 'kernel');
  writeFileSync(join(image, 'initrd'), initrd);
  writeFileSync(join(image, 'image.json'), describeImage('tiny'));
}

const memory = '/dev/shm';

test('from another file system, too: copied while others are served, once, and whole', {
  skip: existsSync(memory) ? false : 'there is no second file system here',
}, async () => {
  const [home, data] = [folder(memory), folder()];
  const bytes = Buffer.alloc(64 << 20, 'initrd');
  build(home, bytes);
  const images = new Images(home, data);
  let turns = 0;
  const turning = setInterval(() => {
    turns += 1;
  }, 1);
  const [one, two] = await Promise.all([images.pin('tiny'), images.pin('tiny')]);
  clearInterval(turning);
  assert.ok(turns > 0, 'nothing else had its turn');
  assert.equal(one.digest, two.digest);
  assert.deepEqual(readdirSync(join(data, 'images')), [one.digest]);
  assert.ok(readFileSync(images.file(one.digest, 'initrd')).equals(bytes));
});

test('two that find an image missing at the same moment keep it once, and both have it', async () => {
  const [home, data] = [folder(), folder()];
  build(home);
  // As on a disk that is busy: neither is there when the other looks.
  const { rename } = promises;
  promises.rename = (from, to) => sleep(20).then(() => rename(from, to));
  syncBuiltinESMExports();
  try {
    const images = new Images(home, data);
    const [one, two] = await Promise.all([images.pin('tiny'), images.pin('tiny')]);
    assert.equal(one.digest, two.digest);
    assert.deepEqual(readdirSync(join(data, 'images')), [one.digest]);
    assert.ok(images.file(one.digest, 'initrd'));
  } finally {
    promises.rename = rename;
    syncBuiltinESMExports();
  }
});

test('what a VM is being made of is not removed under it', async () => {
  const [home, data] = [folder(), folder()];
  build(home);
  const images = new Images(home, data);
  const { digest } = await images.pin('tiny');
  await images.pin('tiny');
  images.release(digest);
  images.unpin(digest);
  assert.ok(images.file(digest, 'Image'));
  images.release(digest);
  images.unpin(digest);
  assert.throws(() => images.file(digest, 'Image'), { code: 'image-unknown' });
});

test('an image with a file missing is kept by nobody, nor is what a dead center has copied', async () => {
  const [home, data] = [folder(), folder()];
  build(home);
  rmSync(join(home, 'images', 'tiny', 'initrd'));
  await assert.rejects(new Images(home, data).pin('tiny'), { code: 'image-damaged' });
  assert.deepEqual(readdirSync(join(data, 'images')), []);
  mkdirSync(join(data, 'images', `${'0'.repeat(64)}.half`));
  new Images(home, data);
  assert.deepEqual(readdirSync(join(data, 'images')), []);
});
