/** Handlers of api/lifecycle-endpoints.ts, as rows for handlers.ts. */
import type { Input, Output } from '../api/endpoints.ts';
import type { AlarmView } from '../api/lifecycle-views.ts';
import type { Alarm } from './alarms.ts';
import { nameOf } from './callers.ts';
import type { Cluster } from './cluster.ts';
import { previewMaintenance } from './evacuation.ts';
import { migrateShadow, restartShadow, resumeFt, suspendFt } from './ft-operations.ts';
import { setHa } from './ha.ts';
import type { Call } from './handler.ts';
import { setMaintenance } from './maintenance.ts';
import { migrateVm } from './migration.ts';
import { prechecks } from './prechecks.ts';
import { hostView, vmView } from './views.ts';

interface Center {
  readonly cluster: Cluster;
}

export const lifecycleHandlers = {
  suspendFt: ({ cluster }: Center, { params }: Input<'suspendFt'>) =>
    ft(cluster, params.vm, suspendFt),
  resumeFt: ({ cluster }: Center, { params }: Input<'resumeFt'>) =>
    ft(cluster, params.vm, resumeFt),
  migrateShadow: ({ cluster }: Center, { params, body }: Input<'migrateShadow'>) =>
    ft(cluster, params.vm, (_, vm) => migrateShadow(cluster, vm, body.host)),
  restartShadow: ({ cluster }: Center, { params }: Input<'restartShadow'>) =>
    ft(cluster, params.vm, restartShadow),
  checkFt: ({ cluster }: Center, { params }: Input<'checkFt'>): Output<'checkFt'> => {
    const checks = prechecks(cluster, cluster.findVm(params.vm));
    return { ok: checks.every(({ ok }) => ok), checks };
  },
  migrateVm: async (
    { cluster }: Center,
    { params, body }: Input<'migrateVm'>,
    { caller }: Call,
  ): Promise<Output<'migrateVm'>> => {
    const vm = cluster.findVm(params.vm);
    const wish = { kind: 'migrate-vm', vm: vm.spec.name, by: nameOf(caller) };
    const task = cluster.tasks.run(wish, ({ progress, signal }) =>
      migrateVm(cluster, vm, {
        ...(body.host !== undefined && { to: body.host }),
        ...{ onProgress: progress, signal },
      }),
    );
    await task.done;
    return vmView(cluster, cluster.findVm(vm.spec.id));
  },
  setHa: ({ cluster }: Center, { params, body }: Input<'setHa'>): Output<'setHa'> => {
    const vm = cluster.findVm(params.vm);
    setHa(cluster, vm, body);
    return vmView(cluster, cluster.findVm(vm.spec.id));
  },
  setMaintenance: (
    { cluster }: Center,
    { params, body }: Input<'setMaintenance'>,
  ): Output<'setMaintenance'> => hostView(cluster, setMaintenance(cluster, params.host, body.on)),
  previewMaintenance: (
    { cluster }: Center,
    { params }: Input<'previewMaintenance'>,
  ): Output<'previewMaintenance'> => previewMaintenance(cluster, params.host),
  listAlarms: ({ cluster }: Center): Output<'listAlarms'> => cluster.alarms.list().map(alarmView),
  acknowledgeAlarm: ({ cluster }: Center, { params }: Input<'acknowledgeAlarm'>): AlarmView =>
    alarmView(cluster.alarms.acknowledge(params.alarm)),
};

function ft(
  cluster: Cluster,
  name: string,
  change: (cluster: Cluster, vm: ReturnType<Cluster['findVm']>) => void,
): Output<'ftStatus'> {
  const vm = cluster.findVm(name);
  change(cluster, vm);
  return cluster.ftStatus(cluster.inventory.vm(vm.spec.id)!);
}

export function alarmView({ holdMs: _, ...alarm }: Alarm): AlarmView {
  return alarm;
}
