import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { UmbraError } from '../base/errors.ts';
import { aptSources, debianKeyrings } from './sources.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'umbra-apt-'));
  mkdirSync(join(root, 'sources.list.d'));
  mkdirSync(join(root, 'apt.conf.d'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const put = (path: string, text: string): void => writeFileSync(join(root, path), text);

test('both styles of apt sources, the web mirrors with main only', () => {
  put(
    'sources.list',
    '# deb http://no/ x main\ndeb [arch=amd64 signed-by=/k] http://one/debian/ x main # hi\n',
  );
  put(
    'sources.list.d/a.list',
    'deb-src http://no/ x main\ndeb http://no/ x contrib\ndeb file:/no x main\n',
  );
  put(
    'sources.list.d/b.sources',
    [
      'Types: deb deb-src\nURIs: https://two/debian\n https://three/debian\nSuites: x\nComponents: main',
      'Enabled: no\nTypes: deb\nURIs: http://no/\nSuites: x\nComponents: main',
      'Types: deb-src\nURIs: http://no/\nSuites: x\nComponents: main',
      'Types: deb\nURIs: http://one/debian\nSuites: y\nComponents: main contrib',
    ].join('\n\n'),
  );
  put('sources.list.d/c.save', 'deb http://no/ x main\n');
  assert.deepEqual(aptSources(undefined, root), {
    mirrors: ['http://one/debian', 'https://two/debian', 'https://three/debian'],
    proxies: {},
  });
  assert.deepEqual(aptSources('http://mine/debian/', root).mirrors, ['http://mine/debian']);
});

test('the proxy of apt; the last setting counts', () => {
  put('sources.list', 'deb http://one/debian x main\n');
  put(
    'apt.conf.d/10',
    'Acquire::http::Proxy "http://old:1";\nAcquire::https::proxy "http://s:2";\n',
  );
  put(
    'apt.conf.d/20',
    '// Acquire::http::Proxy "http://no:1";\nAcquire::http::Proxy "http://new:3/";\n',
  );
  put('apt.conf', 'Acquire::https::Proxy "DIRECT";\n');
  assert.deepEqual(aptSources(undefined, root).proxies, { http: 'http://new:3/' });
});

test('without a mirror or a keyring there is an error with a remedy', () => {
  for (const attempt of [() => aptSources(undefined, root), () => debianKeyrings(root)]) {
    assert.throws(
      attempt,
      (error) => error instanceof UmbraError && /--mirror|Install/.test(error.remedy),
    );
  }
});

test('the keyring of the machine, or the one that UMBRA_KEYRING names', () => {
  put('debian-archive-keyring.gpg', 'theirs');
  put('mine.asc', 'mine');
  const read = (): string[] =>
    debianKeyrings(root).map((keyring) => Buffer.from(keyring).toString());
  assert.deepEqual(read(), ['theirs']);
  process.env['UMBRA_KEYRING'] = join(root, 'mine.asc');
  try {
    assert.deepEqual(read(), ['mine']);
  } finally {
    delete process.env['UMBRA_KEYRING'];
  }
});
