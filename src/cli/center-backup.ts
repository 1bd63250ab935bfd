/** `umbra center backup|restore`. */
import type { Command } from 'commander';
import { restoreBackup } from '../center/backup.ts';
import { centerOptions, show, withCenter } from './session.ts';
import { writeWhole } from './whole-file.ts';

/** @param center the command `umbra center` */
export function registerBackup(center: Command): void {
  centerOptions(center.command('backup'))
    .description("copy the running center's memory and certificate authority into a file")
    .argument('<file>', 'a tar, readable by its owner only; whoever has it can be the center')
    .option('--json', 'print { file, bytes }')
    .action(async (file: string, { json, ...options }) => {
      const { bytes } = await withCenter(options, async (client) =>
        writeWhole(file, await client.wire.open('GET', '/backup')),
      );
      const done = { file, bytes };
      show(json, done, () => `${file}: ${done.bytes} bytes. Keep it safe: it holds the CA's key.`);
    });

  center
    .command('restore')
    .description('make a folder for a center out of a backup; then start the center on it')
    .argument('<file>', 'what umbra center backup has written')
    .requiredOption('--data <dir>', 'a new folder')
    .option('--json', 'print { data, taken }')
    .action(async (file: string, { data, json }: { data: string; json?: boolean }) => {
      const { taken } = await restoreBackup(file, data);
      show(json, { data, taken }, () =>
        [
          `${data} holds the center as it was at ${taken}.`,
          'It will begin a new epoch and ask the hosts what they know; see docs/operations.md.',
          `Next: umbra center start --data ${data}`,
        ].join('\n'),
      );
    });
}
