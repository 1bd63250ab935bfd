/** `umbra record start|stop|list|flight|keep|export|timeline|go-live|delete`: recordings of VMs of the cluster, as they run. */
import type { Command } from 'commander';
import type { Client } from '../api/client.ts';
import type { RecordingView } from '../api/recording-endpoints.ts';
import type { VmView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { parseDuration } from './duration.ts';
import { registerGoLive } from './record-go-live.ts';
import { registerTimeline } from './record-timeline.ts';
import { centerOptions, mebibytes, show, table, withCenter } from './session.ts';
import { parseMemory } from './values.ts';
import { fetchInto } from './vm-export.ts';
import { noWait, waitForTask } from './wait.ts';
import { wholeNumber } from './whole-number.ts';

const bytesMaxLeast = 2 ** 24;

export function registerRecord(program: Command): void {
  const record = program
    .command('record')
    .description('record VMs of the cluster while they run; see umbra replay');

  noWait(centerOptions(record.command('start')))
    .description(
      'record a VM that runs, protected or not, on the host where it is live; it runs on, and if it goes live elsewhere, so does the recording as NAME-2',
    )
    .argument('<vm>')
    .argument('[name]', 'lower-case letters, digits and inner hyphens; by default the time')
    .option('--limit <size>', 'keep the newest part of it, of about this size, such as 2G')
    .option('--json', 'print the recording as JSON')
    .action(async (vm: string, own: string | undefined, { json, wait, limit, ...options }) => {
      const name = own ?? timeName();
      const made = await withCenter(options, async (client) => {
        const body = {
          name,
          ...(limit !== undefined && { bytesMax: parseMemory(limit, bytesMaxLeast, 2 ** 50) }),
        };
        const task = await client.call('startRecording', { params: { vm }, body });
        if (!wait) return task;
        await waitForTask(client, task);
        return recordingOf(client, vm, name);
      });
      show(json, made, () => `${vm} ${wait ? 'is' : 'is about to be'} recorded as ${name}.`);
    });

  noWait(centerOptions(record.command('stop')))
    .description('end the recording of a VM; the VM runs on')
    .argument('<vm>')
    .option('--json', 'print the recording as JSON')
    .action(async (vm: string, { json, wait, ...options }) => {
      const ended = await withCenter(options, async (client) => {
        const { id } = await underWay(client, vm);
        const asked = { params: { vm, recording: id }, body: undefined as never };
        const task = await client.call('stopRecording', asked);
        if (wait) await waitForTask(client, task);
        return recordingOf(client, vm, id);
      });
      show(json, ended, () => `The recording ${ended.name} of ${vm} has ended: ${sizeOf(ended)}.`);
    });

  centerOptions(record.command('list'))
    .description('recordings of a VM, with size and rate of one under way')
    .argument('<vm>')
    .option('--json', 'print JSON')
    .action(async (vm: string, { json, ...options }) => {
      const all = await withCenter(options, (client) =>
        client.call('listRecordings', { params: { vm } }),
      );
      const head = ['NAME', 'STARTED', 'STATE', 'HOST', 'SECONDS', 'SIZE', 'RATE'];
      show(json, all, () =>
        all.length === 0
          ? `No recordings yet. Begin one: umbra record start ${vm}`
          : table(head, all.map(row)),
      );
    });

  centerOptions(record.command('flight'))
    .description(
      'have the last minutes of a VM at hand: kept as a recording when its guest panics, fails or is reset by the watchdog, and by umbra record keep',
    )
    .argument('<vm>')
    .option('--minutes <n>', 'how many, 1 to 1440', wholeNumber)
    .option('--limit <size>', 'what they may take on the disk; by default 1G')
    .option(
      '--on-incident <what>',
      'keep what led to it, and no more; or rewind:10s: the VM is also put back by itself to so long before, at most three times an hour, and what it has done since is undone, acknowledged or not; by default keep, later as before',
    )
    .option('--off', 'no more; what it holds is given up')
    .option('--json', 'print the VM as JSON')
    .action(async (vm: string, { json, minutes, limit, off, onIncident, ...options }) => {
      if ((minutes === undefined) === (off === undefined)) throw flightUnsaid(vm);
      const bytesMax = limit === undefined ? undefined : parseMemory(limit, 2 ** 26, 2 ** 50);
      const body = {
        minutes: minutes ?? null,
        ...(bytesMax !== undefined && { bytesMax }),
        ...(onIncident !== undefined && { rewindSeconds: rewindSecondsOf(onIncident) }),
      };
      const set = await withCenter(options, (client) =>
        client.call('setFlight', { params: { vm }, body }),
      );
      show(json, set, () =>
        off
          ? `The flight recorder of ${vm} is off.`
          : `The last ${minutes} minutes of ${vm} are at hand while it runs. ${afterIncident(set)}`,
      );
    });

  noWait(centerOptions(record.command('keep')))
    .description('make a recording of what the flight recorder of a VM holds; it goes on')
    .argument('<vm>')
    .argument('[name]', 'lower-case letters, digits and inner hyphens; by default the time')
    .option('--json', 'print the recording as JSON')
    .action(async (vm: string, own: string | undefined, { json, wait, ...options }) => {
      const name = own ?? timeName();
      const made = await withCenter(options, async (client) => {
        const task = await client.call('keepFlight', { params: { vm }, body: { name } });
        if (!wait) return task;
        await waitForTask(client, task);
        return recordingOf(client, vm, name);
      });
      show(json, made, () => `The last minutes of ${vm} ${wait ? 'are' : 'will be'} in ${name}.`);
    });

  centerOptions(record.command('export'))
    .description(
      'fetch a recording that has ended, as an archive (.tar.zst): tar --zstd -xf FILE makes the folder that umbra replay takes',
    )
    .argument('<vm>')
    .argument('<name>')
    .requiredOption('--to <file>', 'on this machine; whole or not at all')
    .option('--json', 'print { vm, recording, file, bytes, sha256 }')
    .action(async (vm: string, name: string, { json, to, ...options }) => {
      const [vmPart, namePart] = [vm, name].map(encodeURIComponent);
      const path = `/vms/${vmPart}/recordings/${namePart}/archive`;
      const made = await withCenter(options, async (client) => ({
        ...{ vm, recording: name },
        ...(await fetchInto(client, path, `${name} of ${vm}`, to)),
      }));
      show(
        json,
        made,
        () => `${name} is in ${to}: ${mebibytes(made.bytes)}. ${unpacking(to, name)}`,
      );
    });

  registerTimeline(record);
  registerGoLive(record);

  centerOptions(record.command('delete'))
    .description('delete a recording that has ended')
    .argument('<vm>')
    .argument('<name>')
    .option('--json', 'print { deleted }')
    .action(async (vm: string, name: string, { json, ...options }) => {
      const asked = { params: { vm, recording: name } };
      await withCenter(options, (client) => client.call('deleteRecording', asked));
      show(json, { deleted: name }, () => `The recording ${name} of ${vm} has been deleted.`);
    });
}

/** `keep`, or `rewind:` and a length of time. @returns seconds; null: it is not put back by itself */
function rewindSecondsOf(text: string): number | null {
  if (text === 'keep') return null;
  const length = /^rewind:(.+)$/.exec(text)?.[1];
  if (length !== undefined) return parseDuration(length);
  throw new UmbraError(
    'policy-unknown',
    `--on-incident takes keep or rewind:TIME, not "${text}"`,
    'Write it such as rewind:10s.',
  );
}

function afterIncident({ name, flight }: VmView): string {
  const seconds = flight?.rewindSeconds ?? null;
  if (seconds === null) return 'After an incident they are kept, and it stays as it is.';
  return `After an incident they are kept, and ${name} is put back by itself to ${seconds} s before it: what it has done since is undone, acknowledged or not.`;
}

const flightUnsaid = (vm: string): UmbraError =>
  new UmbraError(
    'flight-unsaid',
    'either how many minutes are wanted, or none',
    `umbra record flight ${vm} --minutes 10, or umbra record flight ${vm} --off.`,
  );

const unpacking = (file: string, name: string): string =>
  `To replay it: tar --zstd -xf ${file}, then umbra replay ${name}`;

/** Of the present second, UTC, as a name. */
const timeName = (): string =>
  new Date().toISOString().slice(0, 19).replace('T', '-').replaceAll(':', '');

async function recordingOf(client: Client, vm: string, name: string): Promise<RecordingView> {
  const all = await client.call('listRecordings', { params: { vm } });
  const found = all.find((one) => one.name === name || one.id === name);
  if (found !== undefined) return found;
  const text = `${vm} has no recording "${name}"`;
  throw new UmbraError('recording-unknown', text, `See umbra record list ${vm}.`);
}

async function underWay(client: Client, vm: string): Promise<RecordingView> {
  const all = await client.call('listRecordings', { params: { vm } });
  const found = all.findLast(({ state }) => state === 'recording');
  if (found !== undefined) return found;
  const text = `${vm} is not being recorded`;
  throw new UmbraError('recording-unknown', text, `Begin: umbra record start ${vm}.`);
}

const seconds = ({ seconds: length }: RecordingView): string =>
  length === null ? '-' : length.toFixed(1);

const sizeOf = (recording: RecordingView): string =>
  `${seconds(recording)} s, ${mebibytes(recording.bytes)}, on ${recording.host}`;

function row(recording: RecordingView): string[] {
  const { name, startedAt, state, end, host, hostConnected, bytes, bytesPerSecond } = recording;
  const rate = bytesPerSecond === null ? '-' : `${((bytesPerSecond * 8) / 1e6).toFixed(2)} Mbit/s`;
  return [
    ...[name, startedAt, end === null ? state : `${state} (${end})`],
    ...[hostConnected ? host : `${host} (not responding)`, seconds(recording)],
    ...[mebibytes(bytes), rate],
  ];
}
