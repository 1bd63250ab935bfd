/** A planned hand-over to the shadow that is eligible: for tests, migrations and maintenance. */
import { setTimeout as sleep } from 'node:timers/promises';
import { UmbraError } from '../base/errors.ts';
import type { Member } from '../lockstep/arbiter.ts';
import type { Cluster } from './cluster.ts';
import type { Vm } from './inventory.ts';
import { liveOf } from './protection.ts';

const handOverMsMax = 15_000;
const lookMs = 5;

/** @returns who was live. Throws if the shadow has not taken over; then it runs on where it was. */
export async function handOver(cluster: Cluster, { spec }: Vm): Promise<Member> {
  const { id, name } = spec;
  const live = liveOf(cluster.situation(cluster.inventory.vm(id)!));
  if (live?.copy === undefined)
    throw handOverFailed(name, 'it is not live on a host that responds');
  cluster.takeRefusedHandOver(id);
  const { handingOver } = cluster;
  handingOver.add(id);
  try {
    cluster.agents.get(live.member.host)!.send({ kind: 'handOver', vm: id });
    for (const end = performance.now() + handOverMsMax; performance.now() < end; ) {
      await sleep(lookMs);
      cluster.findVm(id);
      if (cluster.arbiter.certain(id)?.live?.process !== live.member.process) return live.member;
      const refused = cluster.takeRefusedHandOver(id);
      if (refused !== undefined) throw handOverFailed(name, refused);
    }
  } finally {
    handingOver.delete(id);
  }
  throw handOverFailed(name, `nothing happened within ${handOverMsMax / 1000} s`);
}

function handOverFailed(name: string, why: string): UmbraError {
  return new UmbraError(
    'hand-over-failed',
    `${name} was not handed over: ${why}`,
    `It runs on where it was; see umbra vm events ${name}.`,
  );
}
