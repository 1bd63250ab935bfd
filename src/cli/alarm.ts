/** `umbra alarm list|acknowledge`. */
import type { Command } from 'commander';
import { centerOptions, show, table, withCenter } from './session.ts';

export function registerAlarm(program: Command): void {
  const alarm = program.command('alarm').description('what needs attention');

  centerOptions(alarm.command('list'))
    .description('alarms that are raised, oldest first')
    .option('--json', 'print JSON')
    .action(async ({ json, ...options }) => {
      const alarms = await withCenter(options, (client) => client.call('listAlarms'));
      show(json, alarms, () =>
        alarms.length === 0
          ? 'No alarms.'
          : table(
              ['SEVERITY', 'SINCE', 'SEEN', 'WHAT', 'ALARM'],
              alarms.map(({ severity, since, acknowledged, text, id }) => {
                return [severity, since, acknowledged === null ? 'no' : 'yes', text, id];
              }),
            ),
      );
    });

  centerOptions(alarm.command('acknowledge'))
    .description('note that an alarm has been seen; one of a single happening ends with it')
    .argument('<alarm>', 'as umbra alarm list names it')
    .option('--json', 'print the alarm as JSON')
    .action(async (id: string, { json, ...options }) => {
      const seen = await withCenter(options, (client) =>
        client.call('acknowledgeAlarm', { params: { alarm: id } }),
      );
      show(json, seen, () => `Acknowledged: ${seen.text}.`);
    });
}
