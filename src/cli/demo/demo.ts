/** `umbra demo`: the main job on one machine, with a report at the end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { umbraHome } from '../../api/credentials.ts';
import { UmbraError } from '../../base/errors.ts';
import { type Tier, tiers } from '../../host/tiers.ts';
import { buildImage } from '../../images/build.ts';
import { listImages, loadImage } from '../../images/image.ts';
import { loadRecipe } from '../../images/recipe.ts';
import { ProgressLine } from '../progress-line.ts';
import { parseTiers } from '../values.ts';
import { DemoCluster } from './processes.ts';
import { type DemoReport, Story, type StoryOptions } from './story.ts';

interface DemoOptions {
  readonly hosts: string;
  readonly failovers: string;
  readonly cpus: string;
  readonly tiers: readonly Tier[];
  readonly keep?: boolean;
  readonly json?: boolean;
}

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('a cluster on this machine: a protected Redis VM whose hosts are taken away')
    .option('--hosts <n>', 'hosts to start, at least 2', '3')
    .option('--failovers <n>', 'faults, by kill and by silence in turn', '2')
    .option('--cpus <n>', 'virtual CPUs of the guest', '1')
    .addOption(
      new Option(
        '--tiers <list>',
        `how the hosts execute the VM, one each in their order, the last one for the rest: ` +
          `a list with commas of ${tiers.join(', ')}`,
      )
        .argParser(parseTiers)
        .default(['auto'], 'auto'),
    )
    .option('--keep', 'keep the cluster running afterwards, until Ctrl-C')
    .option('--json', 'print the report as JSON')
    .action((options: DemoOptions) => demo(options));
}

async function demo(options: DemoOptions): Promise<void> {
  const plan = planOf(options);
  const started = performance.now();
  const say = (text: string): void => {
    if (options.json) return;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${seconds.padStart(6)} s  ${text}`);
  };
  await ensureImage('redis', options.json !== true);
  const folder = mkdtempSync(join(tmpdir(), 'umbra-demo-'));
  const cluster = new DemoCluster(folder, umbraHome());
  let failed = true;
  const interrupted = Promise.withResolvers<never>();
  const interrupt = (): void => {
    interrupted.reject(new UmbraError('interrupted', 'The demo was interrupted.', 'Run it again.'));
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    const story = new Story(cluster, { ...plan, say });
    const report = await Promise.race([story.tell(), interrupted.promise]);
    failed = !report.ok;
    if (options.json) console.log(JSON.stringify(report));
    else console.log(inWords(report));
    if (failed) process.exitCode = 1;
    if (options.keep) {
      say('the cluster and its web console stay; Ctrl-C ends them. Look around there, or with:');
      say(`UMBRA_HOME=${cluster.home} umbra ft status redis`);
      await interrupted.promise.catch(() => {});
    }
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
    await cluster.stop();
    if (failed) console.error(`The logs are in ${folder}.`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws UmbraError about what does not fit, before anything is built or started */
function planOf({ tiers: chosen, ...options }: DemoOptions): Omit<StoryOptions, 'say'> {
  const hosts = atLeast('--hosts', options.hosts, 2);
  if (chosen.length > hosts) {
    throw new UmbraError(
      'tiers-too-many',
      `--tiers names ${chosen.length} tiers for ${hosts} hosts.`,
      'Name at most one for each host; the last one is for the rest.',
    );
  }
  return {
    hosts,
    tiers: chosen,
    failovers: atLeast('--failovers', options.failovers, 0),
    cpus: atLeast('--cpus', options.cpus, 1),
  };
}

async function ensureImage(name: string, showProgress: boolean): Promise<void> {
  const home = umbraHome();
  if ((await listImages(home)).some((image) => image.name === name)) {
    await loadImage(home, name);
    return;
  }
  const line = new ProgressLine(showProgress);
  try {
    await buildImage(loadRecipe(name), {
      home,
      onProgress: ({ text, done, total }) => line.show(text, done, total),
    });
  } finally {
    line.end();
  }
}

function atLeast(option: string, text: string, min: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min) {
    throw new UmbraError(
      'not-a-number',
      `${option} takes a whole number from ${min}, not "${text}".`,
      `Try ${option} ${Math.max(min, 2)}.`,
    );
  }
  return value;
}

function inWords(report: DemoReport): string {
  const lines = ['', report.ok ? 'Nothing was lost.' : 'NOT as promised:'];
  for (const one of report.failovers) {
    const what = one.kind === 'kill' ? 'host killed' : 'host silent';
    lines.push(
      `  ${what}: longest wait ${Math.round(one.gapMs)} ms, ${one.lost} lost, ` +
        `${one.repeated} repeated, ${one.connectionsReset} connections reset, ` +
        `protected again after ${(one.reprotectedMs / 1000).toFixed(1)} s`,
    );
  }
  const { idleMbitPerSecond, busyMbitPerSecond } = report.log;
  lines.push(
    `  log: ${idleMbitPerSecond} Mbit/s idle, ${busyMbitPerSecond} Mbit/s counting`,
    `  fingerprints compared: ${report.fingerprintsCompared}, divergences: ${report.divergences}`,
  );
  return lines.join('\n');
}
