/**
 * Building against a small signed archive on loopback: what comes out, and that whatever goes wrong
 * is named, leaves no half image, and is made good by the next build.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { UmbraError } from '../../src/base/errors.ts';
import { type BuildOptions, buildImage } from '../../src/images/build.ts';
import { type Image, listImages, loadImage, removeImage } from '../../src/images/image.ts';
import type { Progress } from '../../src/images/progress.ts';
import { loadRecipe, type Recipe } from '../../src/images/recipe.ts';
import { cutShort, type FakeMirror, flipped, startMirror } from './mirror.fixture.ts';

const deb = 'pool/program.deb';
const index = 'Packages.gz';

let mirror: FakeMirror;
let folder: string;
let home: string;
let homes = 0;

before(async () => {
  mirror = await startMirror();
  folder = mkdtempSync(join(tmpdir(), 'umbra-images-'));
});
after(async () => {
  await mirror.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  home = join(folder, `home-${homes++}`);
  mirror.spoilt.clear();
  mirror.asked.length = 0;
});

async function recipe(more = '', packages = 'program'): Promise<Recipe> {
  const path = join(folder, 'small.recipe');
  const head = `Name: small\nPackages: ${packages}\nModules: second\nDisks: data 16M\n`;
  await writeFile(path, `${head}${more}\n=== /etc/motd\nhello\n`);
  return loadRecipe(path);
}

async function build(options: Partial<BuildOptions> = {}, of?: Recipe): Promise<Image> {
  const given = { home, mirror: mirror.address, keyrings: [mirror.keyring], ...options };
  return buildImage(of ?? (await recipe()), given);
}

/** What is in the home's folder of images, the lock aside. */
function leftBehind(): string[] {
  const images = join(home, 'images');
  return existsSync(images) ? readdirSync(images).filter((name) => name !== '.lock') : [];
}

function contents(image: Image): Buffer[] {
  return readdirSync(image.folder)
    .sort()
    .map((name) => readFileSync(join(image.folder, name)));
}

async function refused(work: Promise<unknown>, code: string, says: RegExp): Promise<UmbraError> {
  const error = await work.then(
    () => assert.fail(`expected ${code}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof UmbraError, String((error as Error).stack));
  assert.equal(error.code, code);
  assert.match(error.message, says);
  assert.ok(error.remedy.length > 10);
  return error;
}

test('an image is built, listed, loaded and removed', async () => {
  const steps = new Set<string>();
  const image = await build({ onProgress: ({ step }) => steps.add(step) });
  assert.equal(image.kernel.bytes, 100_000);
  assert.deepEqual(
    image.packages.map(({ name }) => name),
    ['linux-image-9.9-riscv64', 'library', 'postman', 'program'],
  );
  const initrd = readFileSync(image.initrdPath, 'latin1');
  for (const path of ['etc/motd', 'usr/lib/library.so', 'usr/lib/modules/second.order', 'init']) {
    assert.ok(initrd.includes(`${path}\0`), path);
  }
  assert.ok(initrd.includes('first\nsecond\n'), 'modules in the order of their needs');
  assert.ok(!initrd.includes('copyright'), 'no documentation');
  assert.deepEqual(
    (await listImages(home)).map(({ name }) => name),
    ['small'],
  );
  assert.deepEqual(await loadImage(home, 'small'), image);
  assert.deepEqual([...steps], ['release', 'index', 'packages', 'unpack', 'write', 'done']);
  await removeImage(home, 'small');
  assert.deepEqual(leftBehind(), []);
  await refused(loadImage(home, 'small'), 'image-unknown', /no image "small"/);
  await refused(removeImage(home, '../cache'), 'image-unknown', /no image/);
});

test('the same recipe and archive give the same bytes in any home', async () => {
  const first = contents(await build());
  home = join(folder, 'another home');
  assert.deepEqual(contents(await build()), first);
});

test('progress counts every byte once', async () => {
  const last = new Map<string, Progress>();
  await build({ onProgress: (progress) => last.set(progress.step, progress) });
  for (const step of ['index', 'packages'] as const) {
    assert.equal(last.get(step)!.done, last.get(step)!.total, step);
  }
});

test('a mirror that cannot be reached', async () => {
  const nobody = 'http://127.0.0.1:9';
  await refused(build({ mirror: nobody }), 'image-mirror-unreachable', /ECONNREFUSED/);
});

test('a mirror without the suite', async () => {
  const forky = await recipe('Suite: forky\n');
  await refused(build({}, forky), 'image-suite-unknown', /forky/);
});

test('an address that is none', async () => {
  await refused(build({ mirror: 'ftp:/x' }), 'image-mirror-malformed', /ftp/);
});

test('a signature by somebody else', async () => {
  const other = await startMirror();
  await refused(build({ keyrings: [other.keyring] }), 'image-signature-bad', /InRelease/);
  await other.close();
});

test('a Release file changed behind its signature', async () => {
  mirror.spoilt.set('InRelease', (bytes) =>
    Buffer.from(Buffer.from(bytes).toString().replace('Version: 13.0', 'Version: 13.1')),
  );
  await refused(build(), 'image-signature-bad', /not signed/);
  mirror.spoilt.set('InRelease', () => Buffer.from('Codename: trixie\n'));
  await refused(build(), 'image-signature-bad', /clear-signed/);
});

test('a package index that is not the signed one', async () => {
  mirror.spoilt.set(index, flipped);
  await refused(build(), 'image-hash-bad', /package index/);
  mirror.spoilt.clear();
  await build();
});

test('a mirror in the middle of an update: the suite’s other name serves', async () => {
  mirror.spoilt.set(index, flipped);
  await refused(build(), 'image-hash-bad', /package index.*trixie/);
  mirror.spoilt.clear();
  mirror.spoilt.set(`trixie/main/binary-riscv64/${index}`, flipped);
  await build();
});

test('a package that is not the signed one, in content or in length', async () => {
  mirror.spoilt.set(deb, flipped);
  await refused(build(), 'image-hash-bad', /program/);
  mirror.spoilt.set(deb, (bytes) => Buffer.concat([bytes, Buffer.alloc(1 << 20)]));
  await refused(build(), 'image-hash-bad', /program/);
  assert.deepEqual(leftBehind(), []);
  mirror.spoilt.clear();
  await build();
});

test('a package that the mirror lists and does not have', async () => {
  mirror.spoilt.set(deb, (_, response) => {
    response.writeHead(404).end();
    return undefined;
  });
  await refused(build(), 'image-download-missing', /program/);
});

test('a download that breaks off is continued by the next build', async () => {
  mirror.spoilt.set('pool/linux-image-9.9-riscv64.deb', cutShort);
  await refused(build(), 'image-download-truncated', /linux-image/);
  assert.deepEqual(leftBehind(), []);
  mirror.spoilt.clear();
  mirror.asked.length = 0;
  await build();
  assert.ok(
    mirror.asked.some((path) => /linux-image.*from \d+/.test(path)),
    String(mirror.asked),
  );
});

test('what is cached is not fetched again, unless it was damaged', async () => {
  const first = contents(await build());
  mirror.asked.length = 0;
  await build();
  assert.deepEqual(mirror.asked, ['/debian/dists/trixie/InRelease']);
  const cached = join(home, 'cache', 'sha256');
  for (const name of readdirSync(cached)) {
    const path = join(cached, name);
    await writeFile(path, flipped(readFileSync(path), undefined as never)!);
  }
  mirror.asked.length = 0;
  assert.deepEqual(contents(await build()), first);
  assert.equal(mirror.asked.length, 6);
});

test('packages that do not exist or cannot be satisfied', async () => {
  const unknown = await refused(
    build({}, await recipe('', 'program nothing')),
    'image-package-unknown',
    /"nothing"/,
  );
  assert.match(unknown.remedy, /Packages/);
  const virtual = build({}, await recipe('', 'mail-agent'));
  assert.match((await refused(virtual, 'image-package-unknown', /mail-agent/)).remedy, /postman/);
  const broken = build({}, await recipe('', 'broken'));
  await refused(broken, 'image-package-unsatisfiable', /library \(>= 9\)/);
  for (const field of ['Keep', 'Omit']) {
    const path = build({}, await recipe(`${field}: /usr/bin/nothing\n`));
    const { remedy } = await refused(path, 'image-path-unknown', /\/usr\/bin\/nothing/);
    assert.match(remedy, new RegExp(field));
  }
});

test('a recipe adds links and leaves out what it does not want', async () => {
  const own =
    'Omit: /usr/lib/library.so\n=== /etc/alias -> motd\n=== /usr/bin/program -> /bin/true\n';
  const initrd = readFileSync((await build({}, await recipe(own))).initrdPath, 'latin1');
  assert.ok(!initrd.includes('library.so'));
  assert.match(initrd, /etc\/alias\0+motd\0*070701/);
  assert.match(initrd, /usr\/bin\/program\0+\/bin\/true\0*070701/);
});

test('a kernel without the module, a package without a kernel', async () => {
  const text = 'Name: small\nPackages: program\n';
  const path = join(folder, 'wrong.recipe');
  await writeFile(path, `${text}Modules: firzt\n`);
  await refused(build({}, loadRecipe(path)), 'image-module-unknown', /firzt/);
  await writeFile(path, `${text}Kernel: library\n`);
  await refused(build({}, loadRecipe(path)), 'image-kernel-missing', /library/);
});

test('a full disk, at every single write: the earlier image stays', async () => {
  const first = contents(await build());
  let writes = 0;
  const counted = await recipe('Summary: changed\n');
  for (let fatal = 1; ; fatal++) {
    writes = 0;
    const write = async (path: string, bytes: Uint8Array | string): Promise<void> => {
      writes++;
      if (writes === fatal) {
        await writeFile(path, bytes.slice(0, 10));
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
      }
      await writeFile(path, bytes);
    };
    const attempt = build({ write }, counted);
    if (fatal > 3) {
      await attempt;
      break;
    }
    await refused(attempt, 'image-disk-full', /no space/);
    assert.deepEqual(leftBehind(), ['small']);
    assert.deepEqual(contents(await loadImage(home, 'small')), first);
  }
  assert.equal((await loadImage(home, 'small')).summary, 'changed');
});

test('a disk that is really full', async (context) => {
  mkdirSync(home, { recursive: true });
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', home]);
  if (mount.status !== 0) return context.skip('mounting a tmpfs needs root');
  try {
    await refused(build(), 'image-disk-full', /no space/);
  } finally {
    spawnSync('umount', [home]);
  }
});

test('a build that is aborted at any step leaves nothing', async () => {
  for (const step of ['release', 'index', 'packages', 'unpack', 'write']) {
    const controller = new AbortController();
    const onProgress = (progress: Progress): void => {
      if (progress.step === step) controller.abort();
    };
    const attempt = build({ onProgress, signal: controller.signal });
    await refused(attempt, 'image-build-cancelled', /cancelled/);
    assert.deepEqual(leftBehind(), [], step);
  }
});

test('two builds of one image at a time take turns', async () => {
  const waited: string[] = [];
  const onProgress = ({ step }: Progress): void => void (step === 'wait' && waited.push(step));
  const both = await Promise.all([build({ onProgress }), build({ onProgress })]);
  assert.deepEqual(contents(both[0]), contents(both[1]));
  assert.deepEqual(waited, ['wait']);
});

test('a builder killed while it writes holds up nobody', async () => {
  const path = join(folder, 'small.recipe');
  await recipe();
  const program = `
    import { readFileSync } from 'node:fs';
    import { writeFile } from 'node:fs/promises';
    import { buildImage } from ${JSON.stringify(new URL('../../src/images/build.ts', import.meta.url))};
    import { loadRecipe } from ${JSON.stringify(new URL('../../src/images/recipe.ts', import.meta.url))};
    await buildImage(loadRecipe(${JSON.stringify(path)}), {
      home: ${JSON.stringify(home)},
      mirror: ${JSON.stringify(mirror.address)},
      keyrings: [Buffer.from(${JSON.stringify(Buffer.from(mirror.keyring).toString())})],
      write: async (path, bytes) => {
        await writeFile(path, bytes);
        if (path.endsWith('initrd')) process.kill(process.pid, 'SIGKILL');
      },
    });`;
  const builder = spawn(process.execPath, ['--input-type=module-typescript', '-e', program]);
  const signal = await new Promise((resolve) => builder.on('exit', (_, name) => resolve(name)));
  assert.equal(signal, 'SIGKILL');
  assert.deepEqual(await listImages(home), []);
  await refused(loadImage(home, 'small'), 'image-unknown', /small/);
  await build();
  assert.deepEqual(leftBehind(), ['small']);
});

test('an image damaged at rest is not used', async () => {
  const image = await build();
  await writeFile(image.initrdPath, flipped(readFileSync(image.initrdPath), undefined as never)!);
  await refused(loadImage(home, 'small'), 'image-damaged', /initrd/);
  rmSync(image.initrdPath);
  await refused(loadImage(home, 'small'), 'image-damaged', /missing/);
  await writeFile(join(image.folder, 'image.json'), '{');
  await refused(loadImage(home, 'small'), 'image-damaged', /image\.json/);
});
