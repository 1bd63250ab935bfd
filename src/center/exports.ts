/**
 * VMs as archives: into a file on a host, or through this center to whoever asks. Either way a task
 * in which a host does the work, and for as long the VM is neither started nor deleted.
 */
import type { ArchiveSum } from '../api/archive.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import type { Passage } from './archive-passage.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import type { Task } from './tasks.ts';
import { vmView } from './views.ts';
import { begin, hostWithDisks, notOff, notResponding, sharedDisksOf } from './vm-states.ts';

const exportKind = 'export-vm';

/** @throws UmbraError `vm-busy` while the VM is exported */
export function refuseWhileExported(cluster: Cluster, { spec: { name } }: Vm): void {
  const task = cluster.tasks.running(exportKind, name);
  if (task === undefined) return;
  const { id, isCancellable, by } = task;
  const remedy = isCancellable ? `, or cancel it: umbra task cancel ${id}` : '';
  throw new UmbraError(
    'vm-busy',
    `${name} is being exported, which ${by} has asked for`,
    `Wait for it: umbra task show ${id}${remedy}.`,
  );
}

/** Into a file on the host that has its disks. */
export function exportVm(cluster: Cluster, vm: Vm, by: string): TaskView {
  const { name, host, where, connection, disks } = exportable(cluster, vm);
  return begin(cluster, { kind: exportKind, vm: name, host: where, by }, async (task) => {
    const time = new Date().toISOString().replace(/[:.]/g, '-');
    const order = { kind: 'export', vm: vm.spec, file: `${name}-${time}.tar.zst` } as const;
    const send = () => connection.send({ ...order, work: task.id, ...disks });
    const work = { id: task.id, command: 'export', vm: vm.spec.id, host, send } as const;
    const { file } = await cluster.works.perform(work, task);
    task.result({ file: typeof file === 'string' ? file : null, host: where });
    cluster.events.add('vm-exported', `${name} has been exported on ${where}`, {
      ...{ vm: name, host: where, file },
    });
  });
}

/** What comes out of `passage` is the archive; `passage.begun` says whether anything does. */
export function sendArchive(
  cluster: Cluster,
  vm: Vm,
  by: string,
): { readonly task: string; readonly passage: Passage } {
  const { name, host, where, connection, disks } = exportable(cluster, vm);
  // Without a queue a task begins at once.
  let passage: Passage | undefined;
  const act = async (task: Task): Promise<void> => {
    passage = cluster.archives.open(task.id, host);
    const order = { kind: 'sendArchive', vm: vm.spec, work: task.id } as const;
    const send = () => connection.send({ ...order, ...disks });
    const work = { id: task.id, command: 'sendArchive', vm: vm.spec.id, host, send } as const;
    try {
      const sum = await passage.finish(cluster.works.perform(work, task).then(sumOf));
      passage.close();
      task.result({ ...sum });
      const text = `${name} has been exported from ${where}, ${sum.bytes} bytes for ${by}`;
      cluster.events.add('vm-exported', text, { vm: name, host: where, by, ...sum });
    } catch (error) {
      passage.close(error as Error);
      throw error;
    }
  };
  const { id } = cluster.tasks.run({ kind: exportKind, vm: name, host: where, by }, act);
  return { task: id, passage: passage! };
}

function exportable(cluster: Cluster, vm: Vm) {
  const { name } = vm.spec;
  const { state } = vmView(cluster, vm);
  if (state !== 'poweredOff') throw notOff(name, state);
  refuseWhileExported(cluster, vm);
  const disks = sharedDisksOf(cluster, vm);
  const host = hostWithDisks(cluster, vm);
  const where = cluster.nameOf(host);
  const connection = cluster.agents.get(host);
  if (connection === undefined) throw notResponding(where);
  return { name, host, where, connection, disks };
}

function sumOf({ bytes, sha256 }: Readonly<Record<string, unknown>>): ArchiveSum {
  const isSum = Number.isSafeInteger(bytes) && /^[0-9a-f]{64}$/.test(String(sha256));
  if (isSum) return { bytes: Number(bytes), sha256: String(sha256) };
  const why = 'the host does not say what it has sent';
  throw new UmbraError('export-broken-off', why, 'Look at the log of the host.');
}
