/** `umbra record go-live`: a new VM of the cluster that goes on from a place of a recording. */
import type { Command } from 'commander';
import { centerOptions, show, withCenter } from './session.ts';
import { noWait, waitForTask, waitForVm } from './wait.ts';

export function registerGoLive(record: Command): void {
  noWait(centerOptions(record.command('go-live')))
    .description(
      'a new VM that goes on from a place of a recording, apart from every network; the one that was recorded is not touched',
    )
    .argument('<vm>')
    .argument('<recording>')
    .argument('<name>', 'of the new VM')
    .option('--to <place>', 'a count, time:SECONDS, event:N, text:TEXT, begin or end', 'end')
    .option('--seconds-before <s>', "so many seconds of the guest's time before that", Number)
    .option('--json', 'print the new VM as JSON')
    .action(async (from: string, recording: string, name: string, given) => {
      const { json, wait, to, secondsBefore, ...options } = given;
      const made = await withCenter(options, async (client) => {
        const body = { name, to, ...(secondsBefore !== undefined && { secondsBefore }) };
        const asked = { params: { vm: from, recording }, body };
        const task = await client.call('goLive', asked);
        if (!wait) return task;
        await waitForTask(client, task);
        return waitForVm(client, name, ({ state }) => state === 'poweredOn');
      });
      show(json, made, () =>
        wait
          ? `${name} goes on from ${recording} of ${from}: umbra console ${name}`
          : `${name} is being made from ${recording} of ${from}.`,
      );
    });
}
