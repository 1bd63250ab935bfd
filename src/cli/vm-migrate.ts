/** `umbra vm migrate VM [--to HOST]`. */
import type { Command } from 'commander';
import type { Client } from '../api/client.ts';
import { ProgressLine } from './progress-line.ts';
import { centerOptions, show, withCenter } from './session.ts';

const lookMs = 200;

export function registerMigrate(vm: Command): void {
  centerOptions(vm.command('migrate'))
    .description('move a running VM to another host without stopping it')
    .argument('<vm>')
    .option('--to <host>', "where to; by default its shadow's host, else where most memory is free")
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, to, ...options }) => {
      const moved = await withCenter(options, async (client) => {
        const body = to === undefined ? {} : { host: to };
        const line = new ProgressLine(process.stderr.isTTY === true);
        const migration = client.call('migrateVm', { params: { vm: name }, body });
        const looks = watch(client, name, line);
        try {
          return await migration;
        } finally {
          clearInterval(looks);
          line.end();
        }
      });
      show(json, moved, () => `${name} runs on ${moved.host} now.`);
    });
}

function watch(client: Client, name: string, line: ProgressLine): NodeJS.Timeout {
  return setInterval(() => {
    client.call('showVm', { params: { vm: name } }).then(
      ({ migration }) => {
        if (migration !== null) line.show(`${name}: ${migration.text}`);
      },
      // Whether it fails is told by the migration itself.
      () => {},
    );
  }, lookMs);
}
