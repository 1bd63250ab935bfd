/** `umbra host maintenance HOST [--preview | --off]`. */
import type { Command } from 'commander';
import type { Client } from '../api/client.ts';
import type { EvacuationView } from '../api/lifecycle-views.ts';
import type { HostView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { ProgressLine } from './progress-line.ts';
import { centerOptions, show, table, withCenter } from './session.ts';

const lookMs = 200;
/** What could not be moved for so long waits for somebody to make room. */
const stuckMsMax = 10_000;

export function registerMaintenance(host: Command): void {
  centerOptions(host.command('maintenance'))
    .description('move all VMs off a host and keep it empty; wait until it is')
    .argument('<host>', 'name or id')
    .option('--off', 'take VMs again')
    .option('--preview', 'tell where each copy would go, and change nothing')
    .option('--no-wait', 'return as soon as the center knows of it')
    .option('--json', 'print the host as JSON')
    .action(async (name: string, { json, off, preview, wait, ...options }) => {
      if (preview) {
        const found = await withCenter(options, (client) =>
          client.call('previewMaintenance', { params: { host: name } }),
        );
        return show(json, found, () => previewText(name, found));
      }
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

function previewText(name: string, { isPossible, moves, stranded }: EvacuationView): string {
  const rows = moves.map(({ vm, copy, how, to, why, shadow }) => [
    ...[vm, copy, to === null ? `stays: ${why}` : `${ways[how]} ${to}`],
    shadow === null ? '' : (shadow.to ?? `none: ${shadow.why}`),
  ]);
  const lines = moves.length === 0 ? [] : [table(['VM', 'COPY', 'GOES', 'NEXT SHADOW'], rows)];
  for (const { vm, needs } of stranded) {
    const what = needs === 'disks' ? 'its disks are' : 'its saved state is';
    lines.push(`${vm} is off and cannot be powered on meanwhile: ${what} on ${name} only.`);
  }
  lines.push(isPossible ? `${name} would be empty.` : `${name} would not be empty.`);
  return lines.join('\n');
}

const ways: Readonly<Record<EvacuationView['moves'][number]['how'], string>> = {
  'take-over': 'taken over by its shadow on',
  migrate: 'migrates to',
  'move-shadow': 'moves to',
};

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
