/**
 * The endpoints about states of VMs: snapshots, going back, clones; rows of api/endpoints.ts. What
 * takes a while answers with its task.
 */
import Type, { type Static } from 'typebox';
import { TaskView } from './tasks.ts';
import { VmView } from './views.ts';

const strict = { additionalProperties: false } as const;
const Vm = Type.Object({ vm: Type.String({ minLength: 1 }) });
const Snapshot = Type.Object({
  vm: Type.String({ minLength: 1 }),
  /** Its name or id. */
  snapshot: Type.String({ minLength: 1 }),
});
const Name = Type.String({
  pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
  description: 'lower-case letters, digits and inner hyphens, at most 63',
});

export const SnapshotView = Type.Object({
  id: Type.String(),
  name: Type.String(),
  /** A snapshot is on one host, where its VM was live; going back to it starts the VM there. */
  host: Type.String(),
  hostConnected: Type.Boolean(),
  /** RFC 3339, UTC. */
  createdAt: Type.String(),
  /** What it takes on that host's disk. */
  bytes: Type.Integer(),
  memoryBytes: Type.Integer(),
  /** What the VM was: on, with its memory, or off, which is disks alone. */
  state: Type.Enum(['poweredOn', 'poweredOff']),
  /** The machine's count. */
  count: Type.String(),
});
export type SnapshotView = Static<typeof SnapshotView>;

export const stateEndpoints = {
  takeSnapshot: {
    method: 'POST',
    path: '/vms/:vm/snapshots',
    access: 'operator',
    summary:
      'Takes a snapshot of a VM: memory and disks at one moment, or the disks of one that is off.',
    params: Vm,
    body: Type.Object({ name: Name }, strict),
    reply: TaskView,
  },
  listSnapshots: {
    method: 'GET',
    path: '/vms/:vm/snapshots',
    access: 'viewer',
    summary: 'Snapshots of a VM, oldest first, and the host on which each is.',
    params: Vm,
    reply: Type.Array(SnapshotView),
  },
  deleteSnapshot: {
    method: 'DELETE',
    path: '/vms/:vm/snapshots/:snapshot',
    access: 'operator',
    summary: 'Deletes a snapshot; the VM itself is not touched.',
    params: Snapshot,
    reply: Type.Null(),
  },
  revertToSnapshot: {
    method: 'POST',
    path: '/vms/:vm/snapshots/:snapshot/revert',
    access: 'operator',
    summary: 'Makes the VM what it was: powered off if it runs, its present state given up.',
    params: Snapshot,
    body: Type.Object(
      { start: Type.Optional(Type.Boolean({ description: 'and let it go on from there' })) },
      strict,
    ),
    reply: TaskView,
  },
  cloneVm: {
    method: 'POST',
    path: '/vms/:vm/clone',
    access: 'operator',
    summary: 'A new VM with copies of the disks of one that is powered off, or of its snapshot.',
    params: Vm,
    body: Type.Object(
      { name: Name, snapshot: Type.Optional(Type.String({ minLength: 1 })) },
      strict,
    ),
    reply: TaskView,
  },
  exportVm: {
    method: 'POST',
    path: '/vms/:vm/export',
    access: 'operator',
    summary: 'Writes a VM that is powered off into an archive on a host that has its disks.',
    params: Vm,
    body: Type.Object({}, strict),
    reply: TaskView,
  },
  resizeVm: {
    method: 'POST',
    path: '/vms/:vm/resize',
    access: 'operator',
    summary: 'Changes CPUs and memory of a VM that is powered off, and grows its disks.',
    params: Vm,
    body: Type.Object(
      {
        cpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
        memoryBytes: Type.Optional(
          Type.Integer({ minimum: 2 ** 24, maximum: 3 * 2 ** 30, multipleOf: 4096 }),
        ),
        /** By number; sizes in bytes, never smaller than before. */
        disks: Type.Optional(
          Type.Array(
            Type.Object(
              {
                disk: Type.Integer({ minimum: 0 }),
                bytes: Type.Integer({ minimum: 512, maximum: 2 ** 44, multipleOf: 512 }),
              },
              strict,
            ),
          ),
        ),
      },
      strict,
    ),
    reply: VmView,
  },
} as const;
