/** `umbra gateway start`: the guests' way to the outside, until it is told to stop. */
import type { Command } from 'commander';
import { runDaemon } from './daemon-start.ts';
import { readJoinToken, tokenHelp } from './secrets.ts';

interface Options {
  readonly join: string;
  readonly token?: string;
  readonly data: string;
  readonly name?: string;
  readonly trunkAddress?: string;
  readonly publishAddress?: string;
}

/** @param gateway the command `umbra gateway` */
export function registerGatewayStart(gateway: Command): void {
  gateway
    .command('start')
    .description('run the gateway: DHCP, DNS, NAT, published ports; ends with SIGTERM')
    .requiredOption('--join <url>', 'the address of the center')
    .option('--token <token>', tokenHelp)
    .requiredOption('--data <dir>', 'the folder of this gateway: identity, leases')
    .option('--name <name>', 'the name of this gateway (default: after the machine)')
    .option('--trunk-address <ip>', 'where hosts connect (default: the way to the center)')
    .option('--publish-address <ip>', 'where ports are published (default: all of IPv4)')
    .action(async (options: Options) => {
      const { GatewayProcess } = await import('../host/gateway-process.ts');
      const { join: url, token, data: dataDirectory, name, trunkAddress, publishAddress } = options;
      const given = {
        url,
        token: await readJoinToken(token),
        dataDirectory,
        name,
        trunkAddress,
        publishAddress,
      };
      await runDaemon('gateway', (onRefused) => GatewayProcess.start({ ...given, onRefused }));
    });
}
