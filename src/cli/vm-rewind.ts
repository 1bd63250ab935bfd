/** `umbra vm rewind`: a VM live again at an earlier place of a recording. */
import type { Command } from 'commander';
import { UmbraError } from '../base/errors.ts';
import { centerOptions, show, withCenter } from './session.ts';
import { noWait, waitForTask, waitForVm } from './wait.ts';

/** @param vm the command `umbra vm` */
export function registerRewind(vm: Command): void {
  noWait(centerOptions(vm.command('rewind')))
    .description(
      'put a VM and its disks back to an earlier place of a recording, and let it run on from there: what it has done since is undone, acknowledged or not',
    )
    .argument('<vm>')
    .option('--recording <name>', 'by default what its flight recorder holds now')
    .option('--to <place>', 'a count, time:SECONDS, event:N, text:TEXT, begin; by default the end')
    .option('--seconds-before <s>', "so many seconds of the guest's time before that place")
    .option('--yes', 'what the VM has done since then may be lost')
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, wait, yes, recording, to, ...rest }) => {
      const { secondsBefore: text, ...options } = rest;
      if (to === undefined && text === undefined) throw placeMissing(name);
      if (yes !== true) throw consentMissing(name);
      const secondsBefore = text === undefined ? undefined : seconds(text);
      const body = {
        ...(recording !== undefined && { recording }),
        ...(to !== undefined && { to }),
        ...(secondsBefore !== undefined && { secondsBefore }),
      };
      await withCenter(options, async (client) => {
        const task = await client.call('rewindVm', { params: { vm: name }, body });
        if (!wait) return show(json, task, () => `${name} is being put back.`);
        const { result } = await waitForTask(client, task);
        const back = await waitForVm(client, name, ({ state }) => state === 'poweredOn');
        show(json, back, () => `${name} runs on from count ${result?.['count']}, on ${back.host}.`);
      });
    });
}

function seconds(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 86_400) return value;
  throw new UmbraError(
    'not-a-number',
    `--seconds-before takes seconds, up to a day, not "${text}".`,
    'Write it such as 10 or 2.5.',
  );
}

const placeMissing = (name: string): UmbraError =>
  new UmbraError(
    'place-missing',
    `to where ${name} is to be put back has not been said`,
    `Such as: umbra vm rewind ${name} --seconds-before 10 --yes.`,
  );

const consentMissing = (name: string): UmbraError =>
  new UmbraError(
    'consent-missing',
    `going back gives up what ${name} has done since then, whatever it has told anybody`,
    'If that is meant, say so with --yes.',
  );
