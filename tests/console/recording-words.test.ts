/** What the pages of recordings say and copy, without a browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockText, countAt } from '../../src/console/pages/recording/places.ts';
import { SaidText } from '../../src/console/pages/recording/said-text.ts';
import { commandsOf, placeOf } from '../../src/console/pages/vm/tabs/recordings/commands.ts';
import { recordingStatus } from '../../src/console/pages/vm/tabs/recordings/recording-status.ts';

const page = (text: string, seconds: number[], lengths: number[], next: number | null = null) => ({
  ...{ seconds, lengths, next, bytes: Buffer.from(text, 'latin1').toString('base64') },
});

test('commands to copy are those of the command line, at the place that is looked at', () => {
  const [replay, debug, live] = commandsOf('web', 'night', placeOf(12.3456));
  const fetched =
    'umbra record export web night --to night.tar.zst && tar --zstd -xf night.tar.zst && umbra replay night';
  assert.equal(replay!.command, `${fetched} --until time:12.346`);
  assert.equal(debug!.command, `${fetched} --from time:12.346 --gdb 1234`);
  assert.equal(live!.command, `${fetched} --go-live --until time:12.346`);
  assert.equal(commandsOf('web', 'night')[0]!.command, fetched);
});

test('what was said by then', () => {
  const said = new SaidText();
  assert.equal(said.lengthAt(1), 0);
  said.add(page('booting\n', [1, 2], [4, 4], 99));
  said.add(page('ready\n', [2.5], [6]));
  assert.deepEqual(
    [0.5, 1, 1.9, 2, 2.5, 9].map((at) => said.lengthAt(at)),
    [0, 4, 4, 8, 14, 14],
  );
  assert.equal(Buffer.from(said.slice(4, 14)).toString(), 'ing\nready\n');
  assert.equal(said.beginningOf(14), 0);
});

test('of much that was said a terminal is given the last megabyte, from a line on', () => {
  const said = new SaidText();
  const line = `${'x'.repeat(99)}\n`;
  const text = line.repeat(30_000);
  said.add(page(text, [1], [text.length]));
  const beginning = said.beginningOf(text.length - 7);
  assert.equal(beginning % 100, 0);
  assert.ok(text.length - beginning < 1.1 * 2 ** 20);
});

test('the count at a moment: exact where a bucket begins', () => {
  const timeline = {
    ...{ from: { seconds: 10, count: '100' }, to: { seconds: 14, count: '900' } },
    ...{ bucketSeconds: 2, counts: ['100', '500', '900'] },
  };
  assert.deepEqual(
    [9, 10, 11, 12, 13, 14, 15].map((seconds) => countAt(timeline, seconds)),
    [100, 100, 300, 500, 700, 900, 900],
  );
});

test('times into a recording', () => {
  assert.equal(clockText(0), '0:00.000');
  assert.equal(clockText(67.25), '1:07.250');
  assert.equal(clockText(3_723.0004), '1:02:03.000');
  assert.equal(clockText(59.9996), '1:00.000');
});

test('how a recording ended, in words', () => {
  const of = (state: 'recording' | 'ended' | 'unknown', end: string | null) =>
    recordingStatus({ state, end }).text;
  assert.equal(of('recording', null), 'Recording');
  assert.equal(of('unknown', null), 'Unknown');
  assert.equal(of('ended', 'failed'), 'Broken off');
  assert.equal(of('ended', 'kept'), 'Kept');
});
