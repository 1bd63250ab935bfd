/** `umbra host start`: this machine becomes a host of the cluster, until it is told to stop. */
import { type Command, Option } from 'commander';
import { type Tier, tiers } from '../host/tiers.ts';
import { runDaemon } from './daemon-start.ts';
import { readJoinToken, tokenHelp } from './secrets.ts';
import { parseDatastore } from './values.ts';

interface Options {
  readonly join: string;
  readonly token?: string;
  readonly data: string;
  readonly name?: string;
  readonly logAddress?: string;
  readonly trunkAddress?: string;
  readonly uplink?: string;
  readonly datastore: readonly ReturnType<typeof parseDatastore>[];
  readonly tier: Tier;
}

const nodeHelp =
  'UMBRA_NODE names a program that executes VM processes in the place of Node, called as Node is:\n' +
  'for emulators and profilers.';

/** @param host the command `umbra host` */
export function registerHostStart(host: Command): void {
  host
    .command('start')
    .description('run the host daemon: VMs, switch, trunks; ends with SIGTERM')
    .requiredOption('--join <url>', 'the address of the center')
    .option('--token <token>', tokenHelp)
    .requiredOption('--data <dir>', 'the folder of this host: identity, disks, images')
    .option('--name <name>', 'the name of this host (default: that of the machine)')
    .option('--log-address <ip>', 'where shadows connect (default: as --trunk-address)')
    .option('--trunk-address <ip>', 'where other hosts connect (default: the way to the center)')
    .option('--uplink <device>', 'the bridge or TAP device that puts guests on a real LAN (Linux)')
    .option(
      '--datastore <name=path>',
      'a folder on storage that other hosts mount, too, by the name that all use; repeatable',
      (value: string, all: Options['datastore']) => [...all, parseDatastore(value)],
      [],
    )
    .addOption(
      new Option('--tier <tier>', 'how this host executes its VMs; they cannot tell')
        .choices(tiers)
        .default('auto'),
    )
    .addHelpText('after', `\n${nodeHelp}`)
    .action(async (options: Options) => {
      const { HostDaemon } = await import('../host/daemon.ts');
      const {
        join: url,
        token,
        data: dataDirectory,
        name,
        logAddress,
        trunkAddress,
        uplink,
        datastore: datastores,
        tier,
      } = options;
      const given = {
        url,
        token: await readJoinToken(token),
        dataDirectory,
        name,
        logAddress,
        trunkAddress,
        uplink,
        datastores,
        tier,
        // Empty is as good as unset, as everywhere in a shell.
        node: process.env['UMBRA_NODE'] || undefined,
      };
      await runDaemon('host', (onRefused) => HostDaemon.start({ ...given, onRefused }));
    });
}
