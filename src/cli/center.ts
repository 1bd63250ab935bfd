/** `umbra center start|token|events`. */
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { umbraHome } from '../api/credentials.ts';
import type { EventView } from '../api/views.ts';
import { defaultLimits, defaultListen, startCenter } from '../center/start.ts';
import { privateFiles } from './secrets.ts';
import { centerOptions, show, withCenter } from './session.ts';

interface StartOptions {
  readonly data: string;
  readonly listen: string;
  readonly store: string;
  readonly ftVmsPerHost: number;
  readonly ftCpusPerHost: number;
  readonly certificateSeconds?: number;
  readonly json?: boolean;
}

export function registerCenter(program: Command): void {
  const center = program.command('center').description('the management center');

  center
    .command('start')
    .description('run a center; the first start makes the cluster and prints a join token once')
    .requiredOption(
      '--data <dir>',
      'folder for the store, the certificate authority and admin.json',
    )
    .option('--listen <address:port>', 'where to listen', defaultListen)
    .option(
      '--ft-vms-per-host <n>',
      'protected VM copies per host, 0 = no limit',
      wholeNumber,
      defaultLimits.ftVmsMax,
    )
    .option(
      '--ft-cpus-per-host <n>',
      'their virtual CPUs, 0 = no limit',
      wholeNumber,
      defaultLimits.ftCpusMax,
    )
    .addOption(
      new Option('--certificate-seconds <n>', 'how long certificates last, for tests')
        .argParser(wholeNumber)
        .hideHelp(),
    )
    .option(
      '--json',
      'print { url, joinToken, adminFile, pid } when ready; events go to standard error',
    )
    .action((options: StartOptions) => start(options));

  centerOptions(center.command('token'))
    .description('make a join token, good for one host or gateway')
    .option('--data <dir>', "the center's folder, to use its admin.json")
    .option('--json', 'print { token }')
    .action(async ({ data, json, ...options }) => {
      const credentials =
        data === undefined ? options : { credentials: join(data, 'admin.json'), ...options };
      const made = await withCenter(credentials, (client) => client.call('createJoinToken'));
      show(json, made, () => made.token);
    });

  centerOptions(center.command('events'))
    .description('what has happened, oldest first')
    .option('--after <sequence>', 'only later ones', wholeNumber, 0)
    .option('--json', 'print JSON')
    .action(async ({ after, json, ...options }) => {
      const events = await withCenter(options, (client) =>
        client.call('listEvents', { query: { after } }),
      );
      show(json, events, () => events.map(eventLine).join('\n'));
    });
}

async function start(options: StartOptions): Promise<void> {
  const { data, listen, json, certificateSeconds: seconds } = options;
  privateFiles();
  const tell = json ? console.error : console.log;
  const center = await startCenter({
    data,
    listen,
    home: umbraHome(),
    ...(seconds !== undefined && { certificateMs: seconds * 1000 }),
    limits: { ftVmsMax: options.ftVmsPerHost, ftCpusMax: options.ftCpusPerHost },
    onEvent: (event) => tell(eventLine(event)),
    onBug: (error) => console.error('umbra: a request has met a bug:', error),
    onStoreFailure: (error) => {
      console.error(
        `umbra: the center's store has failed, so it stops: ${(error as Error).message}`,
      );
      console.error('Check the disk under its folder of data, then start it again.');
      process.exit(1);
    },
  });
  const { url, joinToken, adminFile } = center;
  const ready = { url, joinToken: joinToken ?? null, adminFile, pid: process.pid };
  show(json, ready, () => welcome(url, joinToken, adminFile));
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await center.close();
}

function welcome(url: string, joinToken: string | undefined, adminFile: string): string {
  const ready = `The center is ready at ${url}`;
  if (joinToken === undefined) return ready;
  return [
    ready,
    `Administrator's credentials: ${adminFile}`,
    'Join token, for one host or gateway, shown this once (more: umbra center token):',
    `  ${joinToken}`,
    `Next: umbra host start --join ${url} --token - --data DIR, and paste it`,
  ].join('\n');
}

export const eventLine = ({ sequence, time, kind, text }: EventView): string =>
  `${String(sequence).padStart(5)}  ${time}  ${kind.padEnd(20)}  ${text}`;

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('Give a whole number.');
  return Number(text);
}
