import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { UmbraError } from '../base/errors.ts';
import { builtinRecipes, loadRecipe } from './recipe.ts';

const folder = mkdtempSync(join(tmpdir(), 'umbra-recipe-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function written(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('the built-in recipes are good', () => {
  assert.deepEqual(builtinRecipes(), ['debian', 'redis', 'redis-disk', 'tiny']);
  for (const name of builtinRecipes()) {
    const recipe = loadRecipe(name);
    assert.equal(recipe.name, name);
    assert.ok(recipe.files.some(({ path }) => path === '/init'));
  }
  assert.deepEqual(loadRecipe('redis').ports, [6379]);
});

test('a recipe has fields, files, and what it takes from another', () => {
  written(
    'base.recipe',
    'Name: base\nPackages: aa bb\n cc\nMemory: 1G\n=== /one 755\n1\n=== /two\n2\n\n',
  );
  const path = written(
    'mine.recipe',
    '# mine\n\nFrom: ./base.recipe\nName: mine\n\nDisks: data 64M\n more 1G\nOmit: /no /nor\n=== /two\nnew\n=== /three -> two\n\n',
  );
  const recipe = loadRecipe(path);
  assert.deepEqual(recipe.packages, ['aa', 'bb', 'cc']);
  assert.equal(recipe.memory, 2 ** 30);
  assert.deepEqual(recipe.disks, [
    { name: 'data', bytes: 64 * 2 ** 20 },
    { name: 'more', bytes: 2 ** 30 },
  ]);
  assert.deepEqual(recipe.omit, ['/no', '/nor']);
  const own = recipe.files.filter(({ path: at }) => ['/one', '/two', '/three'].includes(at));
  assert.deepEqual(own, [
    { path: '/one', mode: 0o755, text: '1\n' },
    { path: '/two', mode: 0o644, text: 'new\n' },
    { path: '/three', target: 'two' },
  ]);
  assert.equal(loadRecipe(path).digest, recipe.digest);
  const tiny = loadRecipe(written('t.recipe', 'From: tiny\nName: t\nAppend: quiet\n'));
  assert.deepEqual(tiny.packages, ['busybox-static']);
  assert.equal(tiny.append, 'quiet');
});

test('an unknown recipe: the error lists the known ones', () => {
  for (const name of ['nothing', './nothing.recipe', 'No Such']) {
    assert.throws(
      () => loadRecipe(name),
      (error) =>
        error instanceof UmbraError &&
        error.code === 'image-recipe-unknown' &&
        error.remedy.includes('debian, redis, redis-disk, tiny'),
    );
  }
});

test('every mistake is named with its place', () => {
  const good = 'Name: x\nPackages: aa\n';
  for (const [text, says] of [
    ['Packages: aa\n', /"name" is missing/],
    ['Name: x\n', /"packages" is missing/],
    ['Name: X!\nPackages: aa\n', /"name": "X!"/],
    [`${good}Color: red\n`, /no field "color"; fields are name/],
    [`${good}nonsense\n`, /:3: "nonsense"/],
    [`${good}Name: y\n`, /:3: .*twice/],
    [`${good}Memory: 256\n`, /"memory": "256" is not a size/],
    [`${good}Publish: 80 99999\n`, /"99999" is not a port/],
    [`${good}Disks: data\n`, /"data" is not a disk/],
    [`${good}Disks: data 1M\n`, /16M to 8G/],
    [`${good}Packages2: a\n`, /packages2/],
    [`${good}Keep: bin/x\n`, /slash/],
    [`${good}Kernel: Linux\n`, /Debian package/],
    [`${good}Omit: bin/x\n`, /slash/],
    [`${good}=== etc/x\n`, /:3: a file begins with/],
    [`${good}=== /x -> y z\n`, /:3: a file begins with/],
    [`${good}=== /x -> y\ntext\n`, /:4: a link has no text/],
    [`${good}From: wrong.recipe\n`, /leads back/],
  ] as const) {
    const path = written('wrong.recipe', text);
    assert.throws(
      () => loadRecipe(path),
      (error) => {
        assert.ok(error instanceof UmbraError);
        assert.equal(error.code, 'image-recipe-malformed', text);
        assert.match(error.message, says);
        return true;
      },
    );
  }
  assert.throws(
    () => loadRecipe(`${folder}/`),
    (error) => error instanceof UmbraError && error.code === 'image-recipe-unreadable',
  );
});
