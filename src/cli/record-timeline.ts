/** `umbra record timeline`: what happened in a recording, and what its guest said, from its host. */
import type { Command } from 'commander';
import type { RecordingTimelineView } from '../api/timeline-endpoints.ts';
import { centerOptions, mebibytes, show, withCenter } from './session.ts';
import { waitForTask } from './wait.ts';

export function registerTimeline(record: Command): void {
  centerOptions(record.command('timeline'))
    .description(
      "what happened in a recording that has ended, over the guest's time; the console shows the same as a picture",
    )
    .argument('<vm>')
    .argument('<name>')
    .option('--replay', 'have its host replay it once, for what the guest itself sent and said')
    .option('--json', 'print it as JSON, with instructions and bytes of each stretch')
    .action(async (vm: string, recording: string, { json, replay, ...options }) => {
      const params = { vm, recording };
      const timeline = await withCenter(options, async (client) => {
        if (replay) {
          await waitForTask(client, await client.call('replayRecording', { params }));
        }
        return client.call('showRecordingTimeline', { params });
      });
      show(json, timeline, () => inWords(timeline));
    });
}

function inWords(timeline: RecordingTimelineView): string {
  const { from, to, replayed, events, vm, recording, host } = timeline;
  const sum = (each: readonly number[]): number => each.reduce((all, one) => all + one, 0);
  const bytes = (each: readonly number[] | undefined): string =>
    each === undefined ? 'not replayed yet' : mebibytes(sum(each));
  const date = (seconds: number): string =>
    new Date(timeline.epochMs + seconds * 1_000).toISOString();
  return [
    `${recording} of ${vm}, on ${host}`,
    `from        ${date(from.seconds)}  time:${from.seconds.toFixed(3)}  count ${from.count}`,
    `to          ${date(to.seconds)}  time:${to.seconds.toFixed(3)}  count ${to.count}`,
    `executed    ${sum(timeline.instructions)} instructions`,
    `received    ${bytes(timeline.received)}`,
    `sent        ${bytes(replayed?.sent)}`,
    `read        ${bytes(timeline.read)}`,
    `written     ${bytes(replayed?.written)}`,
    `typed       ${sum(timeline.typed)} bytes`,
    `said        ${replayed === null ? 'not replayed yet' : `${replayed.consoleBytes} bytes`}`,
    ...events.map(({ seconds, text }) => `time:${seconds.toFixed(3)}  ${text}`),
  ].join('\n');
}
