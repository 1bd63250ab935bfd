/**
 * Day two, with a real center and the commands that an operator types: a backup that is put back
 * knows what it knew and says that it may have forgotten; a support bundle has no secret in it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { TestCenter } from './cluster.fixture.ts';

const program = join(import.meta.dirname, '../cli/main.ts');
let center: TestCenter;

before(async () => {
  center = await TestCenter.start();
  center.addImage('tiny');
  await center.host('a');
  await center.client.call('createVm', { body: { name: 'web', image: 'tiny' } });
});
after(() => center.close());

interface Done {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function umbra(...args: string[]): Promise<Done> {
  const env = { ...process.env, UMBRA_HOME: center.home };
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

const admin = () => ['--credentials', join(center.data, 'admin.json')];

test('a backup is put back: what it knew is there, in a new epoch', async () => {
  const file = join(center.folder, 'backup.tar');
  const taken = await umbra('center', 'backup', file, '--json', ...admin());
  assert.equal(taken.code, 0, taken.stderr);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const { epoch } = await center.client.call('health');
  await center.client.call('createVm', { body: { name: 'later', image: 'tiny' } });
  const again = await umbra('center', 'backup', file, ...admin());
  assert.equal(again.code, 0, 'a newer backup takes the place of the older one');

  const data = join(center.folder, 'restored');
  const restored = await umbra('center', 'restore', file, '--data', data, '--json');
  assert.equal(restored.code, 0, restored.stderr);
  const second = await umbra('center', 'restore', file, '--data', data);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /is not empty/);

  await center.end('SIGTERM');
  const other = new TestCenter([], data);
  try {
    await other.start();
    const vms = await other.client.call('listVms');
    assert.deepEqual(vms.map(({ name }) => name).sort(), ['later', 'web']);
    assert.ok((await other.client.call('health')).epoch > epoch, 'it may have forgotten decisions');
  } finally {
    await other.close();
  }
  await center.start();
});

test('what is no backup leaves nothing behind', async () => {
  const file = join(center.folder, 'other.tar');
  writeFileSync(file, 'no tar at all, but long enough to be read as one'.repeat(40));
  const data = join(center.folder, 'nothing');
  const { code, stderr } = await umbra('center', 'restore', file, '--data', data);
  assert.equal(code, 1);
  assert.match(stderr, /is not a backup/);
  assert.equal(existsSync(data), false);
});

test('a support bundle tells much and no secret', async () => {
  const file = join(center.folder, 'bundle.tar.gz');
  const host = join(center.folder, 'some-host');
  mkdirSync(join(host, 'vms/v1'), { recursive: true });
  writeFileSync(join(host, 'vms/v1/log'), 'executed by the tier auto\n');
  writeFileSync(join(host, 'key.pem'), 'SECRET KEY\n');
  const made = await umbra(
    'support-bundle',
    '--output',
    file,
    '--data',
    host,
    '--json',
    ...admin(),
  );
  assert.equal(made.code, 0, made.stderr);
  const { contents } = JSON.parse(made.stdout) as { contents: string[] };
  for (const name of ['center/vms.json', 'center/metrics.txt', 'some-host/vms/v1/log']) {
    assert.ok(contents.includes(name), `${name} among ${contents}`);
  }
  const text = gunzipSync(readFileSync(file)).toString('latin1');
  assert.ok(text.includes('"web"') && text.includes('by the tier auto'));
  const { token } = JSON.parse(readFileSync(join(center.data, 'admin.json'), 'utf8'));
  for (const secret of [token, 'SECRET KEY', 'PRIVATE KEY']) assert.ok(!text.includes(secret));

  await center.end('SIGTERM');
  const without = join(center.folder, 'without.tar.gz');
  const dark = await umbra('support-bundle', '--output', without, '--data', host, ...admin());
  assert.equal(dark.code, 0, 'a center that is away is part of the picture');
  await center.start();
});
