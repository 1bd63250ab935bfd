/** `umbra center start|token|events`. */
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { umbraHome } from '../api/credentials.ts';
import { openEvents } from '../api/event-stream.ts';
import type { JoinTokenView } from '../api/people.ts';
import type { EventView } from '../api/views.ts';
import { centerUrl } from '../api/wire.ts';
import { defaultLeaseMs, leaseMsMin } from '../center/ha.ts';
import { type Center, defaultLimits, defaultListen, startCenter } from '../center/start.ts';
import { registerBackup } from './center-backup.ts';
import { centerLog } from './center-log.ts';
import { parseDuration } from './duration.ts';
import { eventLine, readEvents } from './events.ts';
import { privateFiles, readJoinToken, tokenHelp } from './secrets.ts';
import { centerOptions, type SessionOptions, show, table, withCenter } from './session.ts';
import { wholeNumber } from './whole-number.ts';

interface StartOptions {
  readonly data: string;
  readonly listen: string;
  readonly store: string;
  readonly advertise?: string;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly join?: string;
  readonly token?: string;
  readonly ftVmsPerHost: number;
  readonly ftCpusPerHost: number;
  readonly haLease: number;
  readonly certificateSeconds?: number;
  readonly metricsOpen?: boolean;
  readonly logFormat: 'text' | 'json';
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
    .option('--advertise <url>', "at which URL others reach it, if not at this machine's name")
    .option(
      '--store <store>',
      'sqlite, or etcd://HOST:PORT[,HOST:PORT...] for several centers',
      'sqlite',
    )
    .option('--etcd-ca <file>', 'speak TLS with etcd, which this CA (PEM) has certified')
    .option('--etcd-cert <file>', 'own certificate (PEM) for etcd')
    .option('--etcd-key <file>', 'its key (PEM)')
    .option('--join <url>', 'a center of the cluster which this one joins at its first start')
    .option('--token <token>', `${tokenHelp}; made there: umbra center token --kind center`)
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
    .option(
      '--ha-lease <seconds>',
      `when a lost host's VMs on datastores are restarted elsewhere, at least ${leaseMsMin / 1000}`,
      leaseSeconds,
      defaultLeaseMs / 1000,
    )
    .addOption(
      new Option('--certificate-seconds <n>', 'how long certificates last, for tests')
        .argParser(wholeNumber)
        .hideHelp(),
    )
    .option('--metrics-open', 'let anybody read /metrics, without credentials')
    .addOption(
      new Option('--log-format <format>', 'lines for people, or JSON lines for collectors')
        .choices(['text', 'json'])
        .default('text'),
    )
    .option(
      '--json',
      'print { url, joinToken, administrator, adminFile, pid } when ready; the log goes to standard error',
    )
    .action((options: StartOptions) => start(options));

  registerJoinToken(center);
  registerBackup(center);

  centerOptions(center.command('events'))
    .description('what has happened, oldest first')
    .option('--after <sequence>', 'only later ones', wholeNumber, 0)
    .option('--vm <name>', 'only of this VM')
    .option('--follow', 'and go on with what happens, until interrupted')
    .option('--json', 'print JSON; with --follow one object a line')
    .action(async ({ after, vm, follow, json, ...options }) => {
      if (follow) return followEvents(options, { after, vm }, json);
      const events = await withCenter(options, (client) => readEvents(client, { after, vm }));
      show(json, events, () => events.map(eventLine).join('\n'));
    });
}

function leaseSeconds(text: string): number {
  const seconds = wholeNumber(text);
  const least = leaseMsMin / 1000;
  if (seconds >= least && seconds <= 3600) return seconds;
  throw new InvalidArgumentError(`A lease takes ${least} to 3600 seconds.`);
}

function registerJoinToken(center: Command): void {
  centerOptions(center.command('token'))
    .description(
      'make a join token, good for one host or gateway, or with --kind center for a further center; or list or revoke join tokens',
    )
    .option('--ttl <time>', 'how long it is good, such as 30m or 7d', '24h')
    .addOption(
      new Option('--kind <kind>', 'good only for this').choices(['host', 'gateway', 'center']),
    )
    .option('--list', 'list those of the last weeks, without their secrets')
    .option('--revoke <id>', 'revoke one; what has joined with it stays')
    .option('--data <dir>', "the center's folder, to use its admin.json")
    .option('--json', 'print { id, token, expires }, the list, or { revoked }')
    .action(async ({ ttl, kind, list, revoke, data, json, ...options }) => {
      const credentials =
        data === undefined ? options : { credentials: join(data, 'admin.json'), ...options };
      await withCenter(credentials, async (client) => {
        if (list) {
          const tokens = await client.call('listJoinTokens');
          const head = ['ID', 'STATE', 'KIND', 'MADE BY', 'EXPIRES', 'USED BY'];
          return show(json, tokens, () => table(head, tokens.map(joinTokenRow)));
        }
        if (revoke !== undefined) {
          await client.call('revokeJoinToken', { params: { token: revoke } });
          return show(json, { revoked: revoke }, () => `${revoke} has been revoked.`);
        }
        const body = { ttlSeconds: parseDuration(ttl), ...(kind !== undefined && { kind }) };
        const made = await client.call('createJoinToken', { body });
        show(json, made, () => made.token);
      });
    });
}

function joinTokenRow({ id, state, kind, madeBy, expires, usedBy }: JoinTokenView) {
  return [id, state, kind ?? 'either', madeBy, expires, usedBy];
}

function followEvents(
  options: SessionOptions,
  { after, vm }: { after: number; vm: string | undefined },
  json: boolean | undefined,
): Promise<void> {
  return withCenter(options, (client) => {
    return new Promise<void>((resolve, reject) => {
      const stream = openEvents(client, {
        after,
        ...(vm !== undefined && { vm }),
        onEvent: (event: EventView) => show(json, event, () => eventLine(event)),
        onEnd: reject,
      });
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.once(signal, () => {
          stream.close();
          resolve();
        });
      }
    });
  });
}

async function start(options: StartOptions): Promise<void> {
  const { data, listen, json, certificateSeconds: seconds } = options;
  const log = centerLog(options.logFormat, json ? 2 : 1);
  privateFiles();
  const token = await readJoinToken(options.token);
  const center = await startCenter({
    data,
    listen,
    home: umbraHome(),
    ...(seconds !== undefined && { certificateMs: seconds * 1000 }),
    store: options.store,
    ...(options.etcdCa && { etcdTls: etcdFiles(options.etcdCa, options) }),
    ...(options.advertise && { advertise: centerUrl(options.advertise) }),
    ...(options.join && { join: options.join }),
    ...(token && { token }),
    limits: { ftVmsMax: options.ftVmsPerHost, ftCpusMax: options.ftCpusPerHost },
    haLeaseMs: options.haLease * 1000,
    metricsOpen: options.metricsOpen ?? false,
    onEvent: log.event,
    onAudit: log.audit,
    onBug: (error) => log.failure('a request has met a bug:', error),
    onStoreFailure: (error) => {
      console.error(
        `umbra: the center's store has failed, so it stops: ${(error as Error).message}`,
      );
      console.error('Check the disk under its folder of data, then start it again.');
      process.exit(1);
    },
  });
  const { url, joinToken, administrator, adminFile } = center;
  const ready = {
    ...{ url, joinToken: joinToken ?? null, administrator: administrator ?? null },
    ...{ adminFile, pid: process.pid },
  };
  show(json, ready, () => welcome(center));
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await center.close();
}

const etcdFiles = (ca: string, { etcdCert, etcdKey }: StartOptions) => ({
  ca,
  ...(etcdCert && { certificate: etcdCert }),
  ...(etcdKey && { key: etcdKey }),
});

function welcome({ url, joinToken, administrator, adminFile }: Center): string {
  const lines = [`The center is ready at ${url}, for browsers, too`];
  if (administrator !== undefined) {
    const { name, password } = administrator;
    lines.push(`First user, shown this once: ${name}, password ${password}`);
  }
  if (joinToken !== undefined) {
    lines.push(
      `Credentials for this machine: ${adminFile}`,
      'Join token, for one host or gateway within 24 hours (more: umbra center token):',
      `  ${joinToken}`,
      `Next: umbra host start --join ${url} --token - --data DIR, and paste the token`,
    );
  }
  return lines.join('\n');
}
