/**
 * VMs as archives: into a file on a host, or through this center to whoever asks. Either way a task
 * in which a host does the work, and for as long the VM is neither started nor deleted.
 */
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import { type PassedOn, passOn } from './archive-task.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { needProtocol } from './protocol-need.ts';
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

/** To whoever asks. */
export function sendArchive(cluster: Cluster, vm: Vm, by: string): PassedOn {
  const { name, host, where, connection, disks } = exportable(cluster, vm);
  needProtocol(connection, 4, `send ${name}`, where);
  const wish = { kind: exportKind, vm: name, host: where, by };
  return passOn(cluster, wish, host, (work) => ({
    ...({ id: work, command: 'sendArchive', vm: vm.spec.id, host } as const),
    send: () => connection.send({ kind: 'sendArchive', vm: vm.spec, work, ...disks }),
    sent: (sum) => {
      const text = `${name} has been exported from ${where}, ${sum.bytes} bytes for ${by}`;
      cluster.events.add('vm-exported', text, { vm: name, host: where, by, ...sum });
    },
  }));
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
