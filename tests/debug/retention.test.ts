/** A recording within a limit, and disks: what the host's part of recording does without a terminal. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { bareBoard } from '../../src/board/bare-board.fixture.ts';
import type { VirtConfiguration } from '../../src/board/virt.ts';
import { Timeline } from '../../src/debug/timeline.ts';
import { nowUs } from '../../src/host/clock.ts';
import { LocalVm } from '../../src/host/local/local-vm.ts';
import { openRecording, replayRecording } from '../../src/host/local/replay.ts';
import { createRecording } from '../../src/host/recording/machine-description.ts';
import { segmentName } from '../../src/host/recording/part-names.ts';
import { RecordingFolder } from '../../src/host/recording/recording-writer.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { Assembler, x } from '../machine/assembler.ts';
import { temporaryFolder } from '../system/umbra.fixture.ts';

/** Fills eight megabytes with what cannot be packed, again and again. */
function filling(): VirtConfiguration {
  const code = new Assembler(0x8000_0000);
  code.li(x.s0, 88172645463325252n).label('again');
  code.li(x.t0, 0x8040_0000).li(x.t1, 0x80c0_0000).label('fill');
  for (const [name, imm] of [
    ['slli', 13],
    ['srli', 7],
    ['slli', 17],
  ] as const) {
    code.op(name, { rd: x.t2, rs1: x.s0, imm }).op('xor', { rd: x.s0, rs1: x.s0, rs2: x.t2 });
  }
  code.op('sd', { rs1: x.t0, rs2: x.s0 }).op('addi', { rd: x.t0, rs1: x.t0, imm: 8 });
  code.to('bltu', 'fill', { rs1: x.t0, rs2: x.t1 }).to('jal', 'again');
  return bareBoard(code.finish());
}

/** A file may get another name, or be removed, between the two looks. */
const bytesIn = (folder: string): number =>
  readdirSync(folder)
    .map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);

test('what a limit has no room for goes, oldest first, and the rest replays from its beginning', async (t) => {
  const temporary = temporaryFolder();
  const folder = join(temporary.path, 'recording');
  const bytesMax = 40 << 20;
  const configuration = filling();
  const failures: string[] = [];
  let recording: RecordingFolder | undefined;
  let recorded: Machine | undefined;
  let most = 0;
  try {
    createRecording(folder, configuration, 'test');
    const vm = await LocalVm.start({
      configuration,
      disks: [],
      network: undefined,
      console: () => {},
      maxInstructions: 50_000_000_000n,
      log(digest, machine) {
        recorded = machine;
        recording = new RecordingFolder({
          ...{ folder, configuration: digest, machine, bytesMax, snapshotMicros: 50_000 },
          failed: ({ message }) => failures.push(message),
          note: (text) => failures.push(text),
        });
        return recording;
      },
    });
    // How many snapshots that takes is for the disk to say.
    const isEnough = (): boolean =>
      recorded!.count >= 1_500_000_000n && !existsSync(join(folder, segmentName(0)));
    const look = setInterval(() => {
      most = Math.max(most, bytesIn(folder));
      if (isEnough()) vm.leave();
    }, 20);
    const { instructions } = await vm.ended;
    clearInterval(look);
    await recording!.close();
    assert.deepEqual(failures, []);
    t.diagnostic(`at most ${most} bytes, at the end ${bytesIn(folder)}`);
    // A whole snapshot that is being written comes on top, and what was written since it was due.
    assert.ok(most < 2 * bytesMax, `${most} bytes`);
    assert.ok(bytesIn(folder) <= bytesMax * 1.3);

    const opened = openRecording(folder);
    assert.ok(opened.recording.firstCount > 0n, 'the beginning has been removed');
    assert.equal(opened.recording.end.count, instructions);
    const quiet = { console: () => {}, progress: () => {} };
    const replayed = await replayRecording(opened, quiet);
    assert.equal(replayed.divergence, undefined);
    assert.equal(replayed.instructions, instructions);
    assert.equal(replayed.machine.fingerprint(), recorded!.fingerprint());

    // From anywhere to anywhere, through snapshots that hold only what has changed.
    const timeline = new Timeline(opened.recording, { now: nowUs });
    const { firstCount, lastCount } = timeline;
    const prints = new Map<bigint, bigint>();
    for (const share of [9n, 1n, 5n, 9n, 0n, 10n, 3n, 1n, 5n]) {
      const count = firstCount + ((lastCount - firstCount) * share) / 10n;
      await timeline.seek(count);
      const print = timeline.machine.fingerprint();
      assert.equal(prints.get(count) ?? print, print);
      prints.set(count, print);
    }
    await assert.rejects(() => timeline.seek(firstCount - 1n), { code: 'outside-recording' });
  } finally {
    temporary.remove();
  }
});
