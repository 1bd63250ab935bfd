/** `umbra host maintenance HOST [--off]`. */
import type { Command } from 'commander';
import type { Client } from '../api/client.ts';
import type { HostView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { ProgressLine } from './progress-line.ts';
import { centerOptions, show, withCenter } from './session.ts';

const lookMs = 200;
/** What could not be moved for so long waits for somebody to make room. */
const stuckMsMax = 10_000;

export function registerMaintenance(host: Command): void {
  centerOptions(host.command('maintenance'))
    .description('move all VMs off a host and keep it empty; wait until it is')
    .argument('<host>', 'name or id')
    .option('--off', 'take VMs again')
    .option('--no-wait', 'return as soon as the center knows of it')
    .option('--json', 'print the host as JSON')
    .action(async (name: string, { json, off, wait, ...options }) => {
      const on = off !== true;
      const found = await withCenter(options, async (client) => {
        const asked = await client.call('setMaintenance', { params: { host: name }, body: { on } });
        return on && wait ? untilEmpty(client, asked) : asked;
      });
      show(json, found, () => {
        if (!on) return `${found.name} takes VMs again.`;
        return found.maintenance?.isEmpty
          ? `${found.name} is empty and in maintenance.`
          : `${found.name} is being emptied.`;
      });
    });
}

async function untilEmpty(client: Client, asked: HostView): Promise<HostView> {
  const line = new ProgressLine(process.stderr.isTTY === true);
  let movingAt = performance.now();
  try {
    for (let host = asked; ; ) {
      const remaining = host.maintenance?.remaining ?? [];
      if (host.maintenance?.isEmpty !== false) return host;
      if (remaining.some(({ why }) => why === null)) movingAt = performance.now();
      if (performance.now() - movingAt > stuckMsMax) throw stuck(host);
      const names = remaining.map(({ vm, copy }) => (copy === 'live' ? vm : `the shadow of ${vm}`));
      line.show(`${host.name}: still ${names.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, lookMs));
      host = await client.call('showHost', { params: { host: host.id } });
    }
  } finally {
    line.end();
  }
}

function stuck({ name, maintenance }: HostView): UmbraError {
  const why = (maintenance?.remaining ?? []).map((each) => each.why).join('; ');
  return new UmbraError(
    'maintenance-stuck',
    `${name} cannot be emptied: ${why}`,
    `The center goes on trying; make room, or end it: umbra host maintenance ${name} --off.`,
  );
}
