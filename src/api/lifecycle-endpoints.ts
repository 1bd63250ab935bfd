/**
 * Endpoints of the life of a protected VM: suspend and resume, moving a shadow or the VM itself,
 * maintenance of hosts, prechecks, alarms. Rows of the table in endpoints.ts.
 */
import Type from 'typebox';
import type { Endpoint } from './endpoints.ts';
import { AlarmView, EvacuationView, PrecheckReport } from './lifecycle-views.ts';
import { FtStatusView, HaPriority, HostView, VmView } from './views.ts';

const strict = { additionalProperties: false } as const;
const Vm = Type.Object({ vm: Type.String({ minLength: 1 }) });
const Target = Type.Object(
  { host: Type.Optional(Type.String({ description: 'chosen by the center if none is named' })) },
  strict,
);

export const lifecycleEndpoints = {
  suspendFt: {
    method: 'POST',
    path: '/vms/:vm/ft/suspend',
    access: 'operator',
    summary: 'Stops protecting; the replica of the disks is kept for a resume.',
    params: Vm,
    reply: FtStatusView,
  },
  resumeFt: {
    method: 'POST',
    path: '/vms/:vm/ft/resume',
    access: 'operator',
    summary: 'Protects again, where the replica is if there is room.',
    params: Vm,
    reply: FtStatusView,
  },
  migrateShadow: {
    method: 'POST',
    path: '/vms/:vm/ft/migrate-shadow',
    access: 'operator',
    summary:
      'Moves the shadow to another host. The old one ends first: until the new one has caught up, the VM is not protected.',
    params: Vm,
    body: Target,
    reply: FtStatusView,
  },
  restartShadow: {
    method: 'POST',
    path: '/vms/:vm/ft/restart-shadow',
    access: 'operator',
    summary: 'Ends the shadow as if it were lost; a new one is started.',
    params: Vm,
    reply: FtStatusView,
  },
  checkFt: {
    method: 'GET',
    path: '/vms/:vm/ft/check',
    access: 'viewer',
    summary: 'What would keep the VM from being protected: every precheck, nothing is changed.',
    params: Vm,
    reply: PrecheckReport,
  },
  migrateVm: {
    method: 'POST',
    path: '/vms/:vm/migrate',
    access: 'operator',
    summary: 'Moves a running VM to another host without stopping it; answers when it is there.',
    params: Vm,
    body: Target,
    reply: VmView,
  },
  setHa: {
    method: 'POST',
    path: '/vms/:vm/ha',
    access: 'operator',
    summary:
      'Says whether and when a VM is restarted elsewhere, and whether a guest that hangs is reset.',
    params: Vm,
    body: Type.Object(
      {
        restart: Type.Optional(Type.Boolean()),
        priority: Type.Optional(HaPriority),
        watchdogSeconds: Type.Optional(
          Type.Union([Type.Integer({ minimum: 5, maximum: 3600 }), Type.Null()], {
            description:
              'reset when the guest has not served its own timer for so long; null: never',
          }),
        ),
      },
      strict,
    ),
    reply: VmView,
  },
  setMaintenance: {
    method: 'POST',
    path: '/hosts/:host/maintenance',
    access: 'administrator',
    summary: 'Moves all copies off a host and keeps new ones away, or makes it take copies again.',
    params: Type.Object({ host: Type.String({ minLength: 1 }) }),
    body: Type.Object({ on: Type.Boolean() }, strict),
    reply: HostView,
  },
  previewMaintenance: {
    method: 'GET',
    path: '/hosts/:host/maintenance',
    access: 'viewer',
    summary: 'Where each copy on a host would go if it went into maintenance now; changes nothing.',
    params: Type.Object({ host: Type.String({ minLength: 1 }) }),
    reply: EvacuationView,
  },
  listAlarms: {
    method: 'GET',
    path: '/alarms',
    access: 'viewer',
    summary: 'What people should know of now, oldest first.',
    reply: Type.Array(AlarmView),
  },
  acknowledgeAlarm: {
    method: 'POST',
    path: '/alarms/:alarm/acknowledge',
    access: 'operator',
    summary: 'Notes that somebody has seen an alarm.',
    params: Type.Object({ alarm: Type.String({ minLength: 1 }) }),
    reply: AlarmView,
  },
} as const satisfies Record<string, Endpoint>;
