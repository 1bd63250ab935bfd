/** `umbra replay`: every instruction of a recording again. */
import { type Command, Option } from 'commander';
import { UmbraError } from '../base/errors.ts';
import { type Replayed, replayRecording } from '../host/local/replay.ts';
import { type Tier, tiers } from '../host/tiers.ts';
import { ProgressLine } from './progress-line.ts';

interface ReplayOptions {
  readonly verify?: boolean;
  readonly until?: string;
  readonly tier: Tier;
  readonly json?: boolean;
}

export function registerReplay(program: Command): void {
  program
    .command('replay')
    .argument('<dir>', 'a folder that umbra run --record has written')
    .description('replay a recording, instruction by instruction')
    .option('--verify', 'show no console; say whether every fingerprint was met')
    .option('--until <count>', 'stop at this count of instructions')
    .addOption(
      new Option('--tier <tier>', 'how instructions are executed').choices(tiers).default('auto'),
    )
    .option('--json', 'print { ok, instructions, entries, fingerprintsCompared, seconds }')
    .action((folder: string, options: ReplayOptions) => replay(folder, options));
}

async function replay(folder: string, options: ReplayOptions): Promise<void> {
  const quiet = options.verify === true || options.json === true;
  const line = new ProgressLine(options.verify === true && options.json !== true);
  const result = await replayRecording(folder, {
    tier: options.tier,
    until: options.until === undefined ? undefined : parseCount(options.until),
    console: (bytes) => {
      if (!quiet) process.stdout.write(bytes);
    },
    progress: (done, total) => line.show('replaying', done, total),
  });
  line.end();
  if (result.cutBytes > 0) {
    console.error(`umbra: the last ${result.cutBytes} bytes of the log are torn and left out`);
  }
  if (options.json) console.log(JSON.stringify(document(result)));
  else if (options.verify || result.divergence) console.log(inWords(result));
  if (result.divergence) process.exitCode = 1;
}

function document({ divergence, instructions, entries, fingerprintsCompared, seconds }: Replayed) {
  return {
    ok: divergence === undefined,
    instructions: Number(instructions),
    entries,
    fingerprintsCompared,
    seconds,
    ...(divergence && {
      divergence: { ...divergence, count: Number(divergence.count) },
    }),
  };
}

function inWords({ divergence, ...result }: Replayed): string {
  const speed = Number(result.instructions) / result.seconds / 1e6;
  const lines = [
    `${result.instructions} instructions, ${result.entries} log entries in ` +
      `${result.seconds.toFixed(1)} s (${speed.toFixed(0)} million instructions a second)`,
  ];
  if (divergence === undefined) {
    lines.push(`all ${result.fingerprintsCompared} fingerprints were met`);
  } else {
    lines.push(
      `DIVERGED at entry ${divergence.position}, count ${divergence.count}: ` +
        `${divergence.expected} was recorded, ${divergence.actual} was met`,
      ...divergence.recent.map((entry) => `  ${entry}`),
    );
  }
  return lines.join('\n');
}

function parseCount(text: string): bigint {
  if (!/^\d+$/.test(text)) {
    throw new UmbraError(
      'not-a-number',
      `--until takes a count of instructions, not "${text}".`,
      'Write it without separators, such as 100000000.',
    );
  }
  return BigInt(text);
}
