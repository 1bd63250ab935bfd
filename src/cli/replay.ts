/** `umbra replay`: every instruction of a recording again, to look at, check, debug or go on from. */
import { type Command, Option } from 'commander';
import { UmbraError } from '../base/errors.ts';
import {
  type OpenedRecording,
  openRecording,
  type Replayed,
  type ReplayOptions,
  replayRecording,
} from '../host/local/replay.ts';
import { loadSymbols } from '../host/local/symbols.ts';
import {
  consoleExport,
  diskExport,
  frameExport,
  type ReplayExport,
} from '../host/recording/exports.ts';
import { countOfPlace } from '../host/recording/place.ts';
import { traceFunctions } from '../host/recording/trace.ts';
import { type Tier, tiers } from '../host/tiers.ts';
import { debugReplay } from './replay-debug.ts';
import { keysInWords, ReplayKeys } from './replay-keys.ts';
import { goLive } from './replay-live.ts';
import { verdictInWords, verify } from './replay-verify.ts';

export interface ReplayCommandOptions {
  readonly verify?: boolean;
  readonly from?: string;
  readonly until?: string;
  readonly speed?: string;
  readonly realTime?: boolean;
  readonly gdb?: string;
  readonly goLive?: boolean;
  readonly disk: readonly string[];
  readonly network?: boolean;
  readonly exportConsole?: string;
  readonly exportFrames?: string;
  readonly exportDisk?: string;
  readonly trace?: string;
  readonly symbols: readonly string[];
  readonly tier: Tier;
  readonly json?: boolean;
}

const collect = (value: string, all: readonly string[]): string[] => [...all, value];
const place =
  'a count, time:SECONDS, text:TEXT, event:N (an entry of the log), frame:N, disk:N, input:N or control:N (the Nth of a kind), incident, begin or end';

export function registerReplay(program: Command): void {
  program
    .command('replay')
    .argument('<dir>', 'a folder that umbra run --record has written')
    .description('replay a recording, instruction by instruction')
    .option('--verify', 'show no console; compare every fingerprint, and locate what differs')
    .option('--from <place>', `begin there: ${place}`)
    .option('--until <place>', 'end there')
    .option('--real-time', "at the pace of the guest's clock")
    .option('--speed <factor>', 'so many times that pace')
    .option('--gdb <port>', 'wait for a debugger, forwards and backwards')
    .option('--go-live', 'a new VM goes on from the end of the replay, its network apart')
    .option('--network', 'with --go-live: give it a network like that of umbra run')
    .option(
      '--disk <file>',
      'with --go-live: a disk as it was when the recording began; written to; repeatable',
      collect,
      [],
    )
    .option('--export-console <file>', 'the console, each line with its time')
    .option('--export-frames <file>', 'network frames, as pcapng')
    .option('--export-disk <file>', 'disk writes, a JSON document a line')
    .option('--trace <file>', 'functions as they are entered, named by --symbols')
    .option('--symbols <file[@base]>', 'an ELF file or a System.map; repeatable', collect, [])
    .addOption(
      new Option('--tier <tier>', 'how instructions are executed').choices(tiers).default('auto'),
    )
    .option('--json', 'print { ok, instructions, entries, fingerprintsCompared, seconds }')
    .addHelpText('after', `\nKeys, on a terminal:\n  ${keysInWords.join('\n  ')}`)
    .action((folder: string, options: ReplayCommandOptions) => replay(folder, options));
}

async function replay(folder: string, options: ReplayCommandOptions): Promise<void> {
  const opened = openRecording(folder, options.tier, (text) => console.error(`umbra: ${text}`));
  warnOfTail(opened);
  const { recording } = opened;
  const from = options.from === undefined ? undefined : await countOfPlace(recording, options.from);
  const until =
    options.until === undefined ? undefined : await countOfPlace(recording, options.until, from);
  if (from !== undefined && until !== undefined && until < from) {
    throw new UmbraError(
      'outside-recording',
      `--until (count ${until}) comes before --from (count ${from}).`,
      'Exchange the two.',
    );
  }
  if (options.gdb !== undefined) return debugReplay(recording, options.gdb, from);
  if (options.goLive === true) return goLive(opened, until, options);
  if (options.verify === true) {
    const verdict = await verify(opened, folder, { ...options, from, until });
    console.log(options.json ? JSON.stringify(verdict) : verdictInWords(verdict));
    if (!verdict.ok) process.exitCode = 1;
    return;
  }
  const exports = exportsOf(options, opened.configuration.macs.length);
  const trace =
    options.trace === undefined ? undefined : traceFunctions(options.trace, symbols(options));
  const canGo = exports.length === 0 && trace === undefined;
  const keys = new ReplayKeys(!options.json, { speed: speedOf(options), canGo });
  try {
    const result = await replayGoing(opened, keys, {
      from,
      until,
      speed: () => keys.speed,
      isPressed: () => keys.isPressed,
      exports: trace ? [...exports, trace] : exports,
      traps: trace?.traps,
      console: (bytes) => {
        if (!options.json) process.stdout.write(bytes);
      },
      progress: () => {},
      allow: keys.allow,
    });
    if (options.json) console.log(JSON.stringify(document(result)));
    if (result.divergence) {
      process.exitCode = 1;
      const { count, expected, actual } = result.divergence;
      console.error(
        `umbra: DIVERGED at count ${count}: ${expected} was recorded, ${actual} was met. ` +
          'umbra replay --verify says where it begins.',
      );
    }
  } finally {
    for (const each of exports) each.close();
    trace?.close();
    keys.close();
  }
}

/** As `replayRecording`, and anew from wherever somebody wants it to be. */
async function replayGoing(
  opened: OpenedRecording,
  keys: ReplayKeys,
  options: ReplayOptions,
): Promise<Replayed> {
  const { recording } = opened;
  for (let { from } = options; ; ) {
    const replayed = await replayRecording(opened, { ...options, from });
    const goal = keys.takeGoal();
    if (goal === undefined || replayed.divergence !== undefined) return replayed;
    const { count } = replayed.machine;
    from = count;
    try {
      from = await countOfPlace(recording, relative(goal, count), count);
    } catch (error) {
      if (!(error instanceof UmbraError)) throw error;
      keys.say(`${error.message} ${error.remedy}`);
    }
  }
}

/** `+N` and `-N` are counted from here. */
function relative(goal: string, count: bigint): string {
  if (!/^[+-]\d+$/.test(goal)) return goal;
  const there = count + BigInt(goal);
  return String(there < 0n ? 0n : there);
}

function warnOfTail({ recording }: OpenedRecording): void {
  const { cutBytes } = recording.end;
  if (cutBytes === 0) return;
  console.error(`umbra: the last ${cutBytes} bytes of the log are torn and left out`);
}

function exportsOf(options: ReplayCommandOptions, ports: number): ReplayExport[] {
  const exports: ReplayExport[] = [];
  if (options.exportConsole) exports.push(consoleExport(options.exportConsole));
  if (options.exportFrames) exports.push(frameExport(options.exportFrames, ports));
  if (options.exportDisk) exports.push(diskExport(options.exportDisk));
  return exports;
}

function symbols(options: ReplayCommandOptions) {
  if (options.symbols.length > 0) return loadSymbols(options.symbols);
  throw new UmbraError(
    'trace-without-symbols',
    '--trace names functions, and there are no names.',
    'Add --symbols with an ELF file or a System.map.',
  );
}

function speedOf({ realTime, speed }: ReplayCommandOptions): number | undefined {
  if (speed === undefined) return realTime === true ? 1 : undefined;
  const factor = Number(speed);
  if (factor > 0 && factor <= 1e6) return factor;
  throw new UmbraError(
    'not-a-number',
    `--speed takes how many times as fast as it was, not "${speed}".`,
    'Write it such as 0.5 or 10.',
  );
}

function document(result: Replayed) {
  const { divergence, entries, fingerprintsCompared, guestSeconds, instructions, seconds } = result;
  return {
    ok: divergence === undefined,
    instructions: Number(instructions),
    entries,
    fingerprintsCompared,
    seconds,
    guestSeconds,
    ...(divergence && { divergence: { ...divergence, count: Number(divergence.count) } }),
  };
}
