/**
 * The command line against a real center: logging in, users, tokens, tasks, the audit trail; and
 * that every command says what it does and can say it as JSON.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { until } from '../center/cluster.fixture.ts';
import { InProcessCenter } from '../center/in-process.fixture.ts';
import { parseDuration } from './duration.ts';
import { groups } from './groups.ts';

const program = join(import.meta.dirname, 'main.ts');
const run = promisify(execFile);

function* leaves(command: Command, path = ''): Generator<readonly [string, Command]> {
  for (const each of command.commands) {
    const name = `${path} ${each.name()}`.trim();
    if (each.commands.length > 0) yield* leaves(each, name);
    else yield [name, each];
  }
}

test('every command and option says what it does, and every one can answer as JSON', async () => {
  const umbra = new Command('umbra');
  for (const load of Object.values(groups)) (await load())(umbra);
  // They run until they are ended, or show a guest's own console.
  const speakForThemselves = ['run', 'replay', 'host start', 'gateway start', 'vm console'];
  const found = [...leaves(umbra)];
  assert.ok(found.length > 35, `${found.length} commands`);
  for (const [name, command] of found) {
    assert.notEqual(command.description(), '', name);
    for (const option of command.options) assert.notEqual(option.description, '', name);
    const hasJson = command.options.some((option) => option.long === '--json');
    assert.ok(hasJson || speakForThemselves.includes(name), `${name} has no --json`);
  }
});

test('lengths of time', () => {
  assert.deepEqual(['90', '45s', '30m', '24h', '7d'].map(parseDuration), [
    ...[90, 45, 1_800, 86_400, 604_800],
  ]);
  for (const text of ['', '0', '-1', '1w', '1.5h', 'h', '1e3']) {
    assert.throws(() => parseDuration(text), { code: 'duration-malformed' }, text);
  }
});

describe('people at the command line', () => {
  let center: InProcessCenter;
  /** Another machine of the same people. */
  let away: string;
  before(async () => {
    center = await InProcessCenter.start();
    away = join(center.folder, 'away');
    mkdirSync(away);
    writeFileSync(join(center.folder, 'password'), 'correct horse battery\n');
  });
  after(() => center.close());

  const umbraAt = async (home: string, ...args: string[]) => {
    const env = { ...process.env, UMBRA_HOME: home };
    const { stdout } = await run(process.execPath, [program, ...args], { env });
    return stdout;
  };
  const umbra = (...args: string[]) => umbraAt(center.home, ...args);
  const json = async (...args: string[]) => JSON.parse(await umbra(...args, '--json'));
  const file = () => join(center.folder, 'password');

  test('from a user to a login on another machine, and out again', async () => {
    const added = await umbra('user', 'add', 'otto', '--role', 'viewer', '--password-file', file());
    assert.equal(added, 'otto has been added as viewer.\n');
    const raised = await json('user', 'set-role', 'otto', 'operator');
    assert.equal(raised.role, 'operator');
    assert.match(
      await umbra('user', 'list'),
      /^NAME +ROLE +MADE +LAST LOGIN\nadmin +admin.*\notto/,
    );

    const fingerprint = (await center.token()).split('.')[1]!;
    const where = ['--center', center.url, '--fingerprint', fingerprint];
    const login = ['login', 'otto', ...where, '--password-file', file()];
    assert.match(await umbraAt(away, ...login), /^otto, operator, by session until /);
    assert.equal(statSync(join(away, 'session.json')).mode & 0o777, 0o600);
    const whoami = JSON.parse(await umbraAt(away, 'whoami', '--json'));
    assert.deepEqual([whoami.name, whoami.kind], ['otto', 'session']);
    await assert.rejects(umbraAt(away, 'audit'), (error: { stderr: string; code: number }) => {
      assert.equal(error.code, 1);
      assert.match(error.stderr, /^umbra: this is for people of the role administrator or higher/);
      return true;
    });
    assert.equal(await umbraAt(away, 'logout'), 'Logged out.\n');
    assert.ok(!existsSync(join(away, 'session.json')));
    assert.equal(await umbraAt(away, 'logout', '--json'), '{"ended":false}\n');
    const wrong = umbraAt(away, 'login', 'otto', '--center', center.url, '--fingerprint', 'x');
    await assert.rejects(wrong, { code: 2 });
  });

  test('a password is read from standard input where there is no terminal', async () => {
    const env = { ...process.env, UMBRA_HOME: center.home };
    const args = [program, 'user', 'set-password', 'otto', '--json'];
    const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end('another long password\n');
    const [line] = await lines(child, 1);
    assert.equal(JSON.parse(line!).name, 'otto');
    const body = { user: 'otto', password: 'another long password' };
    assert.equal((await center.stranger().call('login', { body })).session.name, 'otto');
  });

  test('API tokens and join tokens: made, listed, revoked', async () => {
    const made = await json('token', 'create', 'script', '--role', 'viewer', '--ttl', '1h');
    assert.equal((await center.client(made.token).call('showSession')).role, 'viewer');
    assert.match(await umbra('token', 'list'), new RegExp(`${made.info.id} +script +viewer`));
    await umbra('token', 'revoke', made.info.id);
    await assert.rejects(center.client(made.token).call('showSession'));

    const join = await json('center', 'token', '--ttl', '30m', '--kind', 'gateway');
    assert.match(join.token, /^[\w-]{43}\.[0-9a-f]{64}$/);
    const listed = await json('center', 'token', '--list');
    const own = listed.find(({ id }: { id: string }) => id === join.id);
    assert.deepEqual([own.kind, own.state], ['gateway', 'good']);
    assert.deepEqual(await json('center', 'token', '--revoke', join.id), { revoked: join.id });
  });

  test('tasks, the audit trail, and events as they happen', async () => {
    const { tasks, events } = center.center.cluster;
    const { promise, resolve } = Promise.withResolvers<void>();
    const { id, done } = tasks.run({ kind: 'long', vm: 'web', by: 'otto' }, async (task) => {
      task.signal.addEventListener('abort', () => resolve());
      await promise;
      task.signal.throwIfAborted();
    });
    assert.match(
      await umbra('task', 'list', '--vm', 'web'),
      new RegExp(`${id} +long +web +- +run`),
    );
    const env = { ...process.env, UMBRA_HOME: center.home };
    const args = [program, 'center', 'events', '--follow', '--vm', 'web', '--json'];
    const follower = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const followed = lines(follower, 2);
    events.add('vm-reset', 'first', { vm: 'web' });
    events.add('vm-reset', 'of another', { vm: 'other' });
    await umbra('task', 'cancel', id);
    await assert.rejects(done, { code: 'task-cancelled' });
    assert.match(await umbra('task', 'show', id), /state: +cancelled/);
    const texts = (await followed).map((line) => JSON.parse(line).text);
    assert.deepEqual(texts, ['first', 'long of web was cancelled: cancelled by admin.json']);
    const ended = new Promise((resolve) => follower.once('exit', resolve));
    follower.kill('SIGTERM');
    assert.equal(await ended, 0);

    const [last] = (await json('audit', '--limit', '1')) as { action: string; who: string }[];
    assert.deepEqual([last?.action, last?.who], ['cancelTask', 'admin.json']);
    assert.match(await umbra('audit'), /createUser +done +\{"name":"otto","role":"viewer"\}/);
  });
});

test('a center that logs JSON writes a line for each event and each changing call', async () => {
  const other = await InProcessCenter.start();
  const data = join(other.folder, 'logging');
  const home = join(other.folder, 'logging-home');
  const env = { ...process.env, UMBRA_HOME: home };
  const options = ['--data', data, '--listen', '127.0.0.1:0', '--json', '--log-format', 'json'];
  const child = spawn(process.execPath, [program, 'center', 'start', ...options], {
    ...{ env, stdio: ['ignore', 'pipe', 'pipe'] },
  });
  try {
    const logged: Record<string, unknown>[] = [];
    createInterface({ input: child.stderr! }).on('line', (line) => logged.push(JSON.parse(line)));
    const [ready] = await lines(child, 1);
    const { administrator, url, joinToken } = JSON.parse(ready!);
    assert.equal(administrator.name, 'admin');
    const { stdout } = await run(process.execPath, [program, 'center', 'token'], { env });
    assert.notEqual(stdout.trim(), joinToken);
    const audit = await until('the line', () => logged.find((line) => 'audit' in line), 20_000);
    assert.equal(audit['message'], 'admin.json called createJoinToken: done');
    assert.match(String(audit['time']), /^\d{4}-\d\d-\d\dT/);
    assert.ok(!JSON.stringify(logged).includes(stdout.trim().split('.')[0]!), 'no secret');
    assert.match(url, /^https:/);
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
    await other.close();
  }
});

/** The first lines that a process writes. */
function lines(child: ChildProcess, count: number): Promise<string[]> {
  const found: string[] = [];
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (line) => {
      found.push(line);
      if (found.length === count) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`it ended with ${code} after ${found}`)));
  });
}
