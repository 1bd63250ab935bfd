/** `umbra demo --keep`: the cluster stays with its console, for whoever wants to look around, until Ctrl-C. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import test from 'node:test';
import { eventually } from '../wait.fixture.ts';
import { imagesMissing, start } from './umbra.fixture.ts';

const readyMsMax = 180_000;
const endMsMax = 30_000;

/** Of a browser that has accepted the center's own certificate. */
function ask(
  url: string,
  method: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { accept: 'text/html', 'content-type': 'application/json' };
    const sent = request(url, { method, headers, rejectUnauthorized: false }, (reply) => {
      let text = '';
      reply.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      reply.on('end', () => resolve({ status: reply.statusCode!, text }));
    });
    sent.on('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}

/** Processes whose arguments or environment name this folder. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const of = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'latin1');
      return of('cmdline').includes(folder) || of('environ').includes(folder);
    } catch {
      return false;
    }
  });
}

test('it prints the console and a login that work, and SIGINT leaves nothing', async (t) => {
  const missing = await imagesMissing('redis');
  if (missing) return t.skip(missing);
  const child = start(['demo', '--keep', '--hosts', '2', '--failovers', '0']);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  const ended = new Promise<number | null>((done) => child.once('close', done));
  try {
    await eventually('the demo to stay', readyMsMax, () => {
      assert.equal(child.exitCode, null, said);
      return said.includes('Ctrl-C ends them');
    });
    const [, url, user, password] = /web console: (\S+) \(user (\S+), password (\S+);/.exec(said)!;
    const page = await ask(url!, 'GET');
    assert.equal(page.status, 200);
    assert.match(page.text, /<title>Umbra<\/title>/);
    const login = (word: string) =>
      ask(`${url}/api/v1/sessions`, 'POST', { user, password: word, cookie: true });
    assert.equal((await login('wrong')).status, 401);
    const { status, text } = await login(password!);
    assert.equal(status, 200, text);
    assert.equal(JSON.parse(text).session.role, 'administrator');
    const home = /UMBRA_HOME=(\S+)/.exec(said)![1]!;
    const folder = home.slice(0, home.lastIndexOf('/'));
    // Center, gateway, two hosts, and a VM process on each.
    assert.ok(processesOf(folder).length >= 6, String(processesOf(folder)));
    child.kill('SIGINT');
    const code = await Promise.race([
      ended,
      new Promise((late) => setTimeout(late, endMsMax, 'late').unref()),
    ]);
    assert.equal(code, 0, said);
    await eventually('every process to end', endMsMax, () => processesOf(folder).length === 0);
    await assert.rejects(ask(url!, 'GET'), /ECONNREFUSED/);
  } finally {
    // Its cluster ends with it, also where the test has failed.
    child.kill('SIGINT');
    await ended;
  }
});
