/** What a host finds out about a recording: from its log at once, and from a replay, once. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DaemonMessage } from '../../src/api/agent.ts';
import type { RecordingActivity, RecordingConsolePage } from '../../src/api/timeline-endpoints.ts';
import { lookFolder } from '../../src/host/recording/look-files.ts';
import { RecordingLooks } from '../../src/host/recording-looks.ts';
import { recordingFolder, writeRecordingFile } from '../../src/host/vm/recording-folder.ts';
import { imagesMissing, temporaryFolder, umbra } from '../system/umbra.fixture.ts';

const noImage = await imagesMissing('tiny');
const options = noImage ? { skip: noImage } : {};
const [vm, id] = ['vm1', 'recording1'];
const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);

type Report = Readonly<Record<string, unknown>>;

test('a recorded boot as a timeline, and its console by its times', options, async (t) => {
  const folder = temporaryFolder();
  try {
    const vmFolder = join(folder.path, vm);
    const recorded = recordingFolder(vmFolder, id);
    mkdirSync(join(vmFolder, 'recordings'), { recursive: true });
    const ran = await umbra(
      ['run', '--image', 'tiny', '--record', recorded],
      [
        { after: 'umbra: tiny ready', input: 'until ping -c 2 10.86.0.1; do sleep 1; done\n' },
        { after: '2 packets received', input: 'echo hel""lo; sleep 1; poweroff\n' },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr);
    await writeRecordingFile(recorded, { id, name: 'walk', vm: 'web', startedAtMs: 1, count: '0' });

    const reports: Report[] = [];
    const looks = new RecordingLooks({
      vmsFolder: folder.path,
      isUnderWay: () => false,
      tell: (message: DaemonMessage) => {
        if (message.kind === 'report') reports.push(message.report);
      },
    });
    const last = (): Report => reports.at(-1)!;
    const timeline = async () => {
      await looks.timeline({ kind: 'lookAtRecording', vm, id, work: 'w' });
      assert.equal(last()['kind'], 'work-done', JSON.stringify(last()));
      return last()['activity'] as RecordingActivity;
    };
    const read = (from: number) =>
      looks.console({ kind: 'readRecordingConsole', vm, id, from, work: 'w' });

    const byLog = await timeline();
    assert.equal(byLog.replayed, null);
    assert.equal(sum(byLog.instructions), Number(byLog.to.count));
    assert.ok(sum(byLog.received) > 0);
    await read(0);
    assert.equal(last()['code'], 'recording-not-replayed');

    const began = performance.now();
    await looks.replay({ kind: 'replayRecording', vm, id, work: 'w' });
    assert.equal(last()['kind'], 'work-done', JSON.stringify(last()));
    t.diagnostic(`replayed in ${Math.round(performance.now() - began)} ms`);
    const { replayed, ...same } = await timeline();
    assert.deepEqual({ ...same, replayed: null }, byLog, 'a replay adds to what the log says');
    assert.ok(sum(replayed!.sent) > 0);

    const said: { seconds: number; text: string }[] = [];
    for (let from: number | null = 0; from !== null; ) {
      await read(from);
      const page = last()['page'] as RecordingConsolePage;
      const bytes = Buffer.from(page.bytes, 'base64');
      let at = 0;
      for (const [index, length] of page.lengths.entries()) {
        const text = bytes.subarray(at, at + length).toString('latin1');
        said.push({ seconds: page.seconds[index]!, text });
        at += length;
      }
      from = page.next;
    }
    const all = said.map(({ text }) => text).join('');
    assert.equal(all.length, replayed!.consoleBytes);
    assert.equal(sum(replayed!.shown), all.length);
    const replay = await umbra(['replay', recorded]);
    assert.equal(
      Buffer.from(replay.stdout).toString('latin1'),
      Buffer.from(all, 'latin1').toString('latin1'),
    );
    assert.ok(
      said.every(({ seconds }, index) => index === 0 || seconds >= said[index - 1]!.seconds),
    );

    // The place of a piece is one of the recording: there it has been said.
    const { seconds } = said.find(({ text }) => text.includes('tiny ready'))!;
    const until = `time:${(seconds + 0.003).toFixed(3)}`;
    assert.match((await umbra(['replay', recorded, '--until', until])).stdout, /tiny ready/);
    const before = `time:${(seconds - 0.003).toFixed(3)}`;
    assert.doesNotMatch(
      (await umbra(['replay', recorded, '--until', before])).stdout,
      /tiny ready/,
    );

    // The recording itself is as it was; what was found goes with it.
    assert.ok(!readdirSync(recorded).some((name) => /look|replayed|^console$/.test(name)));
    await looks.forget(vm, id);
    assert.ok(!existsSync(lookFolder(vmFolder, id)));

    // One that is damaged: said by its code, and nothing of it is kept.
    renameSync(join(recorded, 'kernel'), join(folder.path, 'kernel'));
    await looks.replay({ kind: 'replayRecording', vm, id, work: 'w' });
    assert.equal(last()['code'], 'recording-damaged', JSON.stringify(last()));
    for (const name of readdirSync(recorded)) {
      if (name.startsWith('log-')) rmSync(join(recorded, name));
    }
    await looks.timeline({ kind: 'lookAtRecording', vm, id, work: 'w' });
    assert.equal(last()['code'], 'recording-damaged', JSON.stringify(last()));
    looks.close();
  } finally {
    folder.remove();
  }
});
