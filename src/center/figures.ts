/**
 * What changes all the time, for viewers: figures of VMs and hosts (api/live.ts), from the newest
 * status of each process and from the rates between statuses.
 */
import type { CopyFigures, HostFigures, VmFigures } from '../api/live.ts';
import type { VmView } from '../api/views.ts';
import type { Cluster } from './cluster.ts';
import type { CopyReport } from './protection.ts';
import { noRates } from './rates.ts';

/** @param view of this VM at this moment */
export function figuresOf(cluster: Cluster, { id, ft }: VmView): VmFigures {
  const copies = cluster.agents.copiesOf(id);
  const on = (host: string | undefined) =>
    host === undefined ? undefined : copies.find((copy) => cluster.nameOf(copy.host) === host);
  const primary = on(ft.primary?.host);
  const shadow = on(ft.shadow?.host);
  const { gate = null, recordings = [], flight } = primary?.status ?? {};
  return {
    vm: id,
    primary: copyFigures(cluster, primary),
    shadow: copyFigures(cluster, shadow),
    lagMs: ft.shadow?.lagMs ?? null,
    logMbitPerSecond: ft.logMbitPerSecond,
    logBytesSent: ft.logBytesSent,
    logRoundTripMs: primary?.status.logRoundTripMs ?? null,
    ...trafficOf(cluster, primary),
    gate,
    flight:
      flight === undefined
        ? null
        : { held: flight.held, bytes: flight.bytes, bytesPerSecond: flight.bytesPerSecond },
    recordings: recordings.map(({ name, bytes, bytesPerSecond }) => ({
      ...{ name, bytes, bytesPerSecond },
    })),
    fingerprintsCompared: ft.fingerprintsCompared,
    lastFingerprint: shadow?.status.lastFingerprint ?? null,
    divergences: ft.divergences,
  };
}

function trafficOf(cluster: Cluster, copy: CopyReport | undefined) {
  const rates = copy === undefined ? noRates : cluster.ratesOf(copy.status.process);
  const { receivedMbitPerSecond, sentMbitPerSecond, readBytesPerSecond, writtenBytesPerSecond } =
    rates;
  return {
    ...{ receivedMbitPerSecond, sentMbitPerSecond },
    ...{ readBytesPerSecond, writtenBytesPerSecond },
  };
}

function copyFigures(cluster: Cluster, copy: CopyReport | undefined): CopyFigures | null {
  if (copy === undefined) return null;
  const { count, process, residentBytes } = copy.status;
  const { cpuPercent } = cluster.ratesOf(process);
  return { count, cpuPercent, memoryBytes: residentBytes ?? null };
}

export function hostFiguresOf(cluster: Cluster): HostFigures[] {
  return cluster.agents.all.map(({ daemonId, copies }) => {
    let [cpuPercent, memoryBytes] = [0, 0];
    for (const { process, residentBytes } of copies.values()) {
      cpuPercent += cluster.ratesOf(process).cpuPercent ?? 0;
      memoryBytes += residentBytes ?? 0;
    }
    return { host: daemonId, cpuPercent: Math.round(cpuPercent * 10) / 10, memoryBytes };
  });
}
