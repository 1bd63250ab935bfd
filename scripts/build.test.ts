/**
 * The package as a user gets it: packed, installed into an empty folder, run from there; also by a
 * Node that is too old for the program itself, if this machine has one.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

const root = resolve(import.meta.dirname, '..');
const packed = ['bin', 'docs', 'recipes', 'scripts', 'src', 'package.json', '.npmrc'];
const folder = mkdtempSync(join(tmpdir(), 'umbra-package-'));
const installed = join(folder, 'installed');
const umbra = join(installed, 'node_modules/.bin/umbra');

/** npm beside this Node may be another program: the one that the user's shell finds is meant. */
const npm = (args: readonly string[], cwd: string): string =>
  execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

before(() => {
  // From a copy, so that no dist/ of a half-done build is left in the checkout.
  const copy = join(folder, 'copy');
  mkdirSync(copy);
  for (const name of [...packed, 'tsconfig.json', 'tsconfig.build.json']) {
    if (existsSync(join(root, name)))
      cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  npm(['pack', '--pack-destination', folder], copy);
  unpack(join(folder, 'umbra-0.1.0.tgz'));
});

/**
 * As `npm install` lays it out. The dependencies are this checkout's: what is tested is the package,
 * and a registry need not be there.
 */
function unpack(tarball: string): void {
  const modules = join(installed, 'node_modules');
  mkdirSync(join(modules, '.bin'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  execFileSync('tar', ['-xzf', tarball, '-C', modules]);
  execFileSync('mv', [join(modules, 'package'), join(modules, 'umbra')]);
  symlinkSync('../umbra/bin/umbra.mjs', umbra);
}

after(() => rmSync(folder, { recursive: true, force: true }));

test('the package has what it needs and no sources or tests', () => {
  const has = readdirSync(join(installed, 'node_modules/umbra'));
  for (const name of ['bin', 'dist', 'recipes']) assert.ok(has.includes(name), name);
  assert.ok(!has.includes('src'));
  const built = readdirSync(join(installed, 'node_modules/umbra/dist'), { recursive: true });
  assert.deepEqual(
    built.filter((name) => /\.(test|fixture)\./.test(String(name))),
    [],
  );
});

test('the installed command shows its help and keeps its exit codes', () => {
  const help = spawnSync(umbra, ['--help'], { encoding: 'utf8', cwd: installed });
  assert.equal(help.stderr, '');
  assert.equal(help.status, 0);
  for (const group of ['run', 'image', 'center', 'host', 'vm', 'ft']) {
    assert.match(help.stdout, new RegExp(`^  ${group}\\b`, 'm'));
  }
  assert.equal(spawnSync(umbra, ['vm', 'show'], { cwd: installed }).status, 2);
  const env = { ...process.env, UMBRA_HOME: join(folder, 'nowhere') };
  const failed = spawnSync(umbra, ['vm', 'list'], { encoding: 'utf8', cwd: installed, env });
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /^umbra: no credentials: .*\n$/);
});

test("what a command has compiled is kept in the home, which is its user's alone", () => {
  const { NODE_COMPILE_CACHE: _, ...rest } = process.env;
  const version = (home: string): void => {
    const env = { ...rest, UMBRA_HOME: home };
    const { stderr, stdout } = spawnSync(umbra, ['--version'], { encoding: 'utf8', env });
    assert.deepEqual([stderr, stdout], ['', '0.1.0\n']);
  };
  const home = join(folder, 'home');
  const kept = () =>
    readdirSync(join(home, 'cache/compiled'), { recursive: true, withFileTypes: true }).filter(
      (each) => each.isFile(),
    );
  version(home);
  assert.ok(kept().length > 10, `${kept().length} files`);
  assert.equal(statSync(home).mode & 0o777, 0o700);
  const before = kept().length;
  version(home);
  assert.equal(kept().length, before);
  // A home that cannot be.
  version(join(umbra, 'home'));
});

const systemNode = '/usr/bin/node';
const isOld =
  existsSync(systemNode) &&
  Number.parseInt(
    execFileSync(systemNode, ['-p', 'process.versions.node'], { encoding: 'utf8' }),
    10,
  ) < 24;

test('an older Node of the system hands over to the one of the package', {
  skip: isOld ? false : 'this machine has no Node older than 24 at /usr/bin/node',
}, () => {
  const bin = join(installed, 'node_modules/umbra/bin/umbra.mjs');
  const version = spawnSync(systemNode, [bin, '--version'], { encoding: 'utf8' });
  assert.equal(version.stderr, '');
  assert.equal(version.stdout, '0.1.0\n');
  assert.equal(spawnSync(systemNode, [bin, 'vm', 'show']).status, 2);
});
