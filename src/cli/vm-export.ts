/** `umbra vm export`: a VM as an archive, in a file here or on its host. */
import type { Command } from 'commander';
import { digestHeader, sha256OfDigest, taskHeader } from '../api/archive.ts';
import type { Client } from '../api/client.ts';
import { UmbraError } from '../base/errors.ts';
import { ProgressLine } from './progress-line.ts';
import { centerOptions, mebibytes, show, withCenter } from './session.ts';
import { noWait, waitForTask } from './wait.ts';
import { writeWhole } from './whole-file.ts';

/** @param vm the command `umbra vm` */
export function registerExport(vm: Command): void {
  noWait(centerOptions(vm.command('export')))
    .description(
      'write a VM that is powered off into an archive (.tar.zst), by default on its host',
    )
    .argument('<vm>')
    .option('--to <file>', 'into a file on this machine, through the center; whole or not at all')
    .option('--json', 'print { vm, file, bytes, sha256 }; without --to the task')
    .action(async (name: string, { json, wait, to, ...options }) => {
      if (to !== undefined) {
        const made = await withCenter(options, (client) => fetchArchive(client, name, to));
        show(
          json,
          made,
          () => `${name} is in ${to}: ${mebibytes(made.bytes)}, SHA-256 ${made.sha256}`,
        );
        return;
      }
      const task = await withCenter(options, async (client) => {
        const begun = await client.call('exportVm', { params: { vm: name }, body: {} });
        return wait ? waitForTask(client, begun) : begun;
      });
      show(json, task, () =>
        wait
          ? `${name} is in ${task.result?.['file']} on ${task.host}.`
          : `${name} is being exported; see umbra task show ${task.id}.`,
      );
    });
}

const fetchArchive = async (client: Client, vm: string, file: string) => ({
  vm,
  ...(await fetchInto(client, `/vms/${encodeURIComponent(vm)}/archive`, vm, file)),
});

/** @param what it is an archive of, for people */
export async function fetchInto(client: Client, path: string, what: string, file: string) {
  const reply = await client.wire.open('GET', path);
  const line = new ProgressLine(process.stderr.isTTY === true);
  try {
    const written = await writeWhole(file, reply, {
      progress: (bytes) => line.show(`export: ${what}, ${mebibytes(bytes)}`),
      check: ({ sha256 }) => {
        const told = sha256OfDigest(reply.trailers[digestHeader] as string | undefined);
        if (told !== sha256) throw damaged(what);
      },
    });
    return { file, ...written };
  } catch (error) {
    throw await reasonOf(client, String(reply.headers[taskHeader]), error);
  } finally {
    line.end();
  }
}

/** A reply can only break off; why, its task tells. */
async function reasonOf(client: Client, task: string, error: unknown): Promise<unknown> {
  if (error instanceof UmbraError) return error;
  const found = await client.call('showTask', { params: { task } }).catch(() => undefined);
  const why = found?.error;
  if (why) return new UmbraError(why.code, why.detail, why.remedy, { cause: error });
  const text = `the archive has broken off: ${(error as Error).message}`;
  const remedy = 'Look whether the center and the host of the VM are there, and ask again.';
  return new UmbraError('export-broken-off', text, remedy, { cause: error });
}

function damaged(what: string): UmbraError {
  const why = `what has come is not the archive of ${what} that its host has sent`;
  return new UmbraError('archive-damaged', why, 'Ask again; if it stays so, please report it.');
}
