/** The keys of `umbra replay`, pressed on a terminal of its own. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import test from 'node:test';
import { imagesHome, imagesMissing, temporaryFolder, umbra } from '../system/umbra.fixture.ts';

const program = resolve(import.meta.dirname, '../../src/cli/main.ts');
const noTerminal = spawnSync('script', ['--version']).status !== 0 && 'script is not installed';
const skip = noTerminal || (await imagesMissing('tiny'));
const waitMsMax = 30_000;

/** `umbra replay` in a terminal, and what that shows. */
class Terminal {
  readonly #child;
  #shown = '';
  #from = 0;

  constructor(args: readonly string[]) {
    const command = [process.execPath, program, 'replay', ...args].join(' ');
    const env = { ...process.env, UMBRA_HOME: imagesHome };
    this.#child = spawn('script', ['-qefc', command, '/dev/null'], { env, stdio: 'pipe' });
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#shown += chunk.toString('latin1');
    });
  }

  /** Types, and waits for what is shown behind that. */
  async press(keys: string, answer: RegExp): Promise<RegExpExecArray> {
    this.#from = this.#shown.length;
    this.#child.stdin.write(keys);
    return this.shows(answer);
  }

  async shows(answer: RegExp): Promise<RegExpExecArray> {
    for (const end = performance.now() + waitMsMax; performance.now() < end; ) {
      const found = answer.exec(this.#shown.slice(this.#from));
      if (found !== null) return found;
      await new Promise((next) => setTimeout(next, 20));
    }
    throw new Error(`${answer} was not shown behind: ${this.#shown.slice(this.#from)}`);
  }

  ended(): Promise<number | null> {
    const { exitCode } = this.#child;
    return exitCode !== null
      ? Promise.resolve(exitCode)
      : new Promise((done) => this.#child.once('close', done));
  }

  kill(): void {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
  }
}

test('a replay is paused, stepped, moved about in and sped up by keys', { skip }, async () => {
  const folder = temporaryFolder();
  const recording = join(folder.path, 'walk');
  let terminal: Terminal | undefined;
  try {
    const typing = { after: 'umbra: tiny ready', input: 'sleep 6; poweroff\n' };
    const ran = await umbra(['run', '--image', 'tiny', '--record', recording], [typing]);
    assert.equal(ran.code, 0, ran.stderr);
    const keys = new Terminal([recording, '--real-time']);
    terminal = keys;
    await keys.shows(/tiny ready/);
    const at = /count (\d+) {2}([\d.]+) s {2}.*[^\r\n]/;
    const count = async (typed: string): Promise<bigint> =>
      BigInt((await keys.press(typed, at))[1]!);
    const paused = await count(' ');
    assert.equal(await count('.'), paused + 1n);
    assert.equal(await count(','), paused + 1001n);
    assert.equal(await count('w'), paused + 1001n);
    assert.equal(await count('gbegin\r'), 0n);
    const ready = await count('gtext:tiny ready\r');
    assert.ok(ready > 0n && ready < paused);
    assert.equal(await count('g-1000\r'), ready - 1000n);
    assert.equal(await count('g+5\r'), ready - 995n);
    assert.ok((await count('ginput:1\r')) > ready);
    // Long before the guest is ready, however fast this machine boots it.
    const [, , seconds] = await keys.press('gtime:0.x\x7f2\r', at);
    assert.ok(Math.abs(Number(seconds) - 0.2) < 0.01, seconds);
    const refused = await keys.press('gnowhere\r', /"nowhere" is no place.*count (\d+)/s);
    const here = refused[1];
    assert.equal((await keys.press('gnever\x1b', at))[1], here);
    await keys.press('r', /1 times real time/);
    await keys.press('+', /2 times real time/);
    await keys.press('-', /1 times real time/);
    await keys.press('?', /q {6}end/);
    await keys.press('f', /full speed/);
    // From there to the end, at once.
    await keys.press(' ', /tiny ready/);
    assert.equal(await keys.ended(), 0);

    const last = new Terminal([recording, '--real-time']);
    terminal = last;
    await last.shows(/tiny ready/);
    await last.press('q', /^/);
    assert.equal(await last.ended(), 0);
  } finally {
    terminal?.kill();
    folder.remove();
  }
});
