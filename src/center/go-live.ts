/**
 * A new VM that goes on from a place of a recording, as `umbra replay --go-live` has it in a terminal.
 * Twin of rewinds.ts, of another VM: the one that was recorded is not touched.
 *
 *   machine made -> VM and arbiter's record -> the arbiter asked -> powered on
 *
 * It has the identity of the machine that was recorded, its MAC address included, so it is isolated:
 * its network card has no cable, on whatever host it is. Nobody hears it twice.
 */
import { randomUUID } from 'node:crypto';
import type { VmSpec } from '../api/agent.ts';
import type { Input } from '../api/endpoints.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import type { Cluster } from './cluster.ts';
import { hostLost } from './host-works.ts';
import type { Vm } from './inventory.ts';
import { deleteVm, refuseTakenName } from './operations.ts';
import { askedRecording } from './recording-looks.ts';
import { begin, goLiveKind } from './vm-states.ts';

export function goLive(
  cluster: Cluster,
  vm: Vm,
  recording: string,
  { name, to = 'end', secondsBefore = 0 }: Input<'goLive'>['body'],
  by: string,
): TaskView {
  const { id: source, name: from, disks } = vm.spec;
  if (disks.length > 0) throw withDisks(from);
  refuseTakenName(cluster, name);
  const {
    id,
    name: recordingName,
    host,
    where,
    connection,
  } = askedRecording(cluster, vm, recording);
  const newVm = randomUUID();
  const number = cluster.store.transaction(() => cluster.store.next('vm-number'));
  return begin(cluster, { kind: goLiveKind, vm: name, host: where, by }, async (task) => {
    task.result({ vm: name, id: newVm, from, recording: recordingName });
    const saved = `${id}-${task.id}`;
    const place = { recording: id, to, secondsBefore, saved, work: `${saved}-made` } as const;
    const spec: VmSpec = { ...vm.spec, id: newVm, name, number, isolated: true };
    try {
      const made = await cluster.works.perform(
        {
          ...({ id: place.work, command: 'goLive', vm: newVm, host } as const),
          send: () => connection.send({ kind: 'goLive', vm: spec, source, ...place }),
        },
        task,
      );
      const count = String(made['count']);
      task.result({ count });
      task.progress(0.5, `${name} is powered on`);
      const [epochOffset, randomSeed] = [String(made['epochOffset']), String(made['randomSeed'])];
      await add(
        cluster,
        { ...spec, epochOffset, randomSeed },
        { host, from, recordingName, count },
      );
    } catch (error) {
      // What has been made for a VM that does not come to be.
      if (cluster.inventory.vm(newVm) === undefined) {
        cluster.agents.get(host)?.send({ kind: 'forget', vm: newVm });
      }
      throw error;
    }
    try {
      // Another center that decides for the arbiter has to know of the VM, and of the task.
      await cluster.store.settled();
      const order = { kind: 'rewind', vm: newVm, saved, fenced: false } as const;
      const send = () => {
        const present = cluster.agents.get(host);
        if (present === undefined) throw hostLost();
        present.send(order);
      };
      await cluster.works.perform({ id: saved, command: 'rewind', vm: newVm, host, send }, task);
    } catch (error) {
      const lost = cluster.inventory.vm(newVm);
      if (lost !== undefined) await deleteVm(cluster, lost).catch(() => {});
      throw error;
    }
    const present = cluster.inventory.vm(newVm);
    if (present === undefined) return;
    cluster.inventory.putVm({ ...present, wanted: 'on' });
    cluster.evaluate(newVm);
  });
}

async function add(
  cluster: Cluster,
  spec: VmSpec,
  told: {
    readonly host: string;
    readonly from: string;
    readonly recordingName: string;
    readonly count: string;
  },
): Promise<void> {
  const { inventory, store, events, arbiter } = cluster;
  const { id, name } = spec;
  const { host, from, recordingName: recording, count } = told;
  refuseTakenName(cluster, name);
  await arbiter.create(id, [host]);
  try {
    store.transaction(() => {
      refuseTakenName(cluster, name);
      inventory.putVm({
        ...({ spec, ports: [], wanted: 'off', ftWanted: false, preferredHost: undefined } as const),
        ...{ host, shadowHost: undefined, acceptStale: false, seedGeneration: -1 },
      });
      const where = cluster.nameOf(host);
      const text = `${name} is a new VM, apart from every network, from the recording ${recording} of ${from}, on ${where}`;
      events.add('vm-made-of-recording', text, { vm: name, host: where, from, recording, count });
    });
  } catch (error) {
    await arbiter.remove(id);
    throw error;
  }
  cluster.publish();
}

const withDisks = (name: string): UmbraError =>
  new UmbraError(
    'go-live-with-disks',
    `${name} has disks, and a recording of a cluster does not hold what was on them`,
    `Clone a snapshot of it: umbra vm clone ${name} NAME --snapshot SNAPSHOT.`,
  );
