/**
 * `umbra support-bundle`: what somebody who helps wants to see, as one file, without secrets.
 *
 * From: the center's API (what is there, what has happened, figures), and the logs in the folders of
 * daemons of this machine. Keys, tokens, certificates, disks and states of VMs are never looked at:
 * only the files named here are.
 */
import {
  closeSync,
  createWriteStream,
  existsSync,
  fstatSync,
  globSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { basename, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Command } from 'commander';
import { pack } from 'tar-stream';
import type { Client } from '../api/client.ts';
import { readText } from '../api/wire.ts';
import { UmbraError } from '../base/errors.ts';
import { readEvents } from './events.ts';
import { centerOptions, type SessionOptions, show, withCenter } from './session.ts';

const logBytesMax = 2 * 2 ** 20;
const eventsMax = 20_000;

interface Options extends SessionOptions {
  readonly output?: string;
  readonly data: readonly string[];
  readonly json?: boolean;
}

export function registerSupportBundle(program: Command): void {
  centerOptions(program.command('support-bundle'))
    .description('gather state, events, figures and logs into one file, without secrets')
    .option('--output <file>', 'where to (default: umbra-support-TIME.tar.gz)')
    .option(
      '--data <dir>',
      'a folder of a daemon on this machine, for its logs; may be repeated',
      (dir, former: readonly string[]) => [...former, dir],
      [] as readonly string[],
    )
    .option('--json', 'print { file, contents }')
    .action(async (options: Options) => {
      const stamp = new Date().toISOString().replace(/[:.]/g, '-');
      const file = options.output ?? `umbra-support-${stamp}.tar.gz`;
      const parts = new Map<string, string>();
      const note = (name: string, value: unknown) =>
        parts.set(
          name,
          `${typeof value === 'string' ? value : JSON.stringify(value, undefined, 2)}\n`,
        );
      note('machine.json', machine());
      await fromCenter(options, note);
      for (const directory of options.data) fromFolder(directory, note);
      await write(file, parts);
      const contents = [...parts.keys()];
      show(options.json, { file, contents }, () => `${file}: ${contents.length} files`);
    });
}

type Note = (name: string, value: unknown) => void;

const machine = () => ({
  ...{ time: new Date().toISOString(), platform: platform(), release: release(), arch: arch() },
  ...{ node: process.version, cpus: cpus().length, memoryBytes: totalmem() },
});

/** A center that does not answer is part of the picture. */
async function fromCenter(options: SessionOptions, note: Note): Promise<void> {
  const gather = async (name: string, ask: () => Promise<unknown>): Promise<void> => {
    try {
      note(name, await ask());
    } catch (error) {
      note(`${name}.error`, (error as Error).message);
    }
  };
  try {
    await withCenter(options, async (client: Client) => {
      await gather('center/health.json', () => client.call('health'));
      await gather('center/hosts.json', () => client.call('listHosts'));
      await gather('center/vms.json', () => client.call('listVms'));
      await gather('center/tasks.json', () => client.call('listTasks', { query: {} }));
      await gather('center/events.json', async () =>
        (await readEvents(client, { after: 0, vm: undefined })).slice(-eventsMax),
      );
      // Beside the API, not below it.
      await gather('center/metrics.txt', async () =>
        readText(await client.wire.open('GET', '/../../metrics')),
      );
    });
  } catch (error) {
    note('center/error.txt', (error as Error).message);
  }
}

/** Logs only, the last part of each. */
function fromFolder(directory: string, note: Note): void {
  if (!existsSync(directory)) {
    throw new UmbraError(
      'directory-missing',
      `there is no folder ${directory}`,
      'Give the folder that the daemon was started with (--data).',
    );
  }
  const logs = ['log', '*.log', 'vms/*/log'].flatMap((pattern) =>
    globSync(join(directory, pattern)),
  );
  for (const log of logs) note(join(basename(directory), relative(directory, log)), tail(log));
}

function tail(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, logBytesMax));
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}

async function write(file: string, parts: ReadonlyMap<string, string>): Promise<void> {
  const archive = pack();
  for (const [name, text] of parts) archive.entry({ name: `umbra-support/${name}` }, text);
  archive.finalize();
  const aside = `${file}.${process.pid}`;
  try {
    await pipeline(archive, createGzip(), createWriteStream(aside, { flags: 'wx', mode: 0o600 }));
    renameSync(aside, file);
  } catch (cause) {
    rmSync(aside, { force: true });
    throw new UmbraError(
      'file-unwritable',
      `${file} cannot be written: ${(cause as Error).message}`,
      'Give another file with --output.',
      { cause },
    );
  }
}
