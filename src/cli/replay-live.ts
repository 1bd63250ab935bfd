/**
 * `umbra replay --go-live`: a VM that goes on where a replay ends, in this terminal. It is another VM
 * from there on: the recording stays as it is, and unless it is told otherwise nobody hears it.
 */
import { UmbraError } from '../base/errors.ts';
import { LocalVm } from '../host/local/local-vm.ts';
import { type OpenedRecording, replayRecording } from '../host/local/replay.ts';
import { openTerminal } from '../host/local/terminal.ts';
import { createLocalNetwork } from '../host/local-network.ts';
import { DiskReplica } from '../host/recording/disk-replica.ts';
import type { DiskFile } from '../host/vm/file-disk.ts';
import { readMac } from '../network/wire.ts';
import { ProgressLine } from './progress-line.ts';
import type { ReplayCommandOptions } from './replay.ts';

export async function goLive(
  opened: OpenedRecording,
  until: bigint | undefined,
  options: ReplayCommandOptions,
): Promise<void> {
  const { configuration, recording } = opened;
  const disks = disksOf(configuration.disks, options.disk);
  // A disk's content is what it was at first and every write since: all of them are needed.
  const whole = disks.length > 0;
  if (whole && recording.firstCount > 0n) {
    throw new UmbraError(
      'recording-without-beginning',
      'The beginning of this recording has been removed, and with it what its disks held.',
      'Go live from a recording that is whole; a VM of a cluster is put back with its disks by umbra vm rewind.',
    );
  }
  const line = new ProgressLine(options.json !== true);
  const replica = await DiskReplica.open(disks);
  const replayed = await replayRecording(opened, {
    from: whole ? undefined : until,
    until,
    exports: whole ? [replica] : [],
    console: () => {},
    progress: (done, total) => line.show('replaying', done, total),
  });
  line.end();
  if (replayed.divergence) {
    throw new UmbraError(
      'replay-diverged',
      `The replay differs from the recording at count ${replayed.divergence.count}.`,
      'umbra replay --verify says where it begins.',
    );
  }
  await replica.settled();
  const out = options.json ? process.stderr : process.stdout;
  const mac = configuration.macs[0];
  const network =
    options.network === true && mac !== undefined
      ? await createLocalNetwork({ mac: readMac(mac, 0), publish: [] })
      : undefined;
  const apart = network === undefined ? ', its network apart' : '';
  console.error(`umbra: live from count ${replayed.instructions}${apart} (Ctrl-A x leaves)`);
  const vm = await LocalVm.start({
    configuration,
    tier: options.tier,
    disks,
    network,
    console: (bytes) => out.write(bytes),
    log: undefined,
    maxInstructions: undefined,
    machine: replayed,
  });
  const terminal = openTerminal(
    (bytes) => vm.type(bytes),
    () => vm.leave(),
  );
  try {
    const result = await vm.ended;
    const { instructions, seconds, stop } = result;
    if (options.json) {
      console.log(JSON.stringify({ instructions: Number(instructions), seconds, stop }));
    }
    if (stop === 'failed') process.exitCode = 1;
  } finally {
    terminal.close();
    network?.close();
  }
}

function disksOf(sizes: readonly number[], files: readonly string[]): DiskFile[] {
  if (sizes.length !== files.length) {
    throw new UmbraError(
      'disks-missing',
      `The recorded VM has ${sizes.length} disks, and ${files.length} files were named.`,
      'Name a copy of each with --disk, as it was when the recording began; it is written to.',
    );
  }
  return files.map((path, index) => ({ path, bytes: sizes[index]! }));
}
