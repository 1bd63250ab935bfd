/** `umbra vm ha`: what is done about a VM when its host is lost, or its guest hangs. */
import { type Command, Option } from 'commander';
import type { VmView } from '../api/views.ts';
import { centerOptions, ifVersion, show, withCenter } from './session.ts';
import { wholeNumber } from './whole-number.ts';

const priorities = ['highest', 'high', 'medium', 'low', 'lowest'] as const;

export function registerHa(vm: Command): void {
  ifVersion(centerOptions(vm.command('ha')))
    .description(
      'whether a VM on a datastore is restarted elsewhere if its host is lost, and a guest that hangs is reset; without options: how it is',
    )
    .argument('<vm>')
    .addOption(new Option('--restart <when>', 'restart it, or not').choices(['on', 'off'] as const))
    .addOption(new Option('--priority <which>', 'who is restarted first').choices(priorities))
    .option(
      '--watchdog <seconds>',
      'reset a guest that has not served its own timer for so long, 5 to 3600; off: never',
      watchdogSeconds,
    )
    .option('--json', 'print the VM as JSON')
    .action(async (name: string, { json, restart, priority, watchdog, ...options }) => {
      const body = {
        ...(restart !== undefined && { restart: restart === 'on' }),
        ...(priority !== undefined && { priority }),
        ...(watchdog !== undefined && { watchdogSeconds: watchdog }),
      };
      const params = { vm: name };
      const changed = await withCenter(options, (client) =>
        Object.keys(body).length === 0
          ? client.call('showVm', { params })
          : client.call('setHa', { params, body }, options),
      );
      show(json, changed, () => `${name}: ${haWords(changed)}`);
    });
}

function watchdogSeconds(text: string): number | null {
  return text === 'off' ? null : wholeNumber(text);
}

export function haWords({ ha }: VmView): string {
  const { restart, priority, state, watchdogSeconds: seconds } = ha;
  const watched =
    seconds === null ? '' : `; its guest is reset after ${seconds} s without response`;
  if (!restart) return `not restarted if its host is lost${watched}`;
  const when = state === 'fromNextPowerOn' ? ', from its next power-on' : '';
  return `restarted elsewhere if its host is lost, priority ${priority}${when}${watched}`;
}
