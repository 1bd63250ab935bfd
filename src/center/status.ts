/**
 * What people are told of a VM: its power state and its protection, in the reference's words
 * (FACTS 3). Pure: the same situation from which the plan is made.
 *
 * The arbiter's record comes first, since a host's report may be a moment older.
 */
import type { FtStatusView, VmView } from '../api/views.ts';
import { beginsOff } from './inventory.ts';
import { type Live, liveOf, type Situation } from './protection.ts';
import { type CopyRates, noRates } from './rates.ts';
import { shadowWish } from './wishes.ts';

type FtState = FtStatusView['state'];

interface Protection {
  readonly state: FtState;
  readonly reason: string | null;
}

export function protectionOf(situation: Situation, live: Live | undefined): Protection {
  const { vm, record } = situation;
  if (!vm.ftWanted) return { state: 'notConfigured', reason: null };
  if (vm.ftSuspended) return { state: 'disabled', reason: null };
  if (live === undefined) return { state: 'enabled', reason: 'vmNotRunning' };
  const status = live.copy?.status;
  if (situation.hasEnded(live.member)) return { state: 'needShadow', reason: 'lostConnection' };
  if (record?.eligibleShadow !== undefined) {
    // The primary knows first that it has lost its shadow; the record follows (goAlone).
    return status?.ftState === 'needShadow'
      ? { state: 'needShadow', reason: status.ftReason ?? 'lostConnection' }
      : { state: 'running', reason: null };
  }
  if (status === undefined) {
    const host = situation.hosts.find((each) => each.id === live.member.host);
    return { state: 'needShadow', reason: host?.connected ? 'initializing' : 'lostConnection' };
  }
  const isComing = situation.copies.some((copy) => copy.host === vm.shadowHost);
  if (status.ftState === 'running' || status.ftState === 'starting' || isComing) {
    return { state: 'starting', reason: null };
  }
  // Taken away in order to move it, or to start it again.
  const isAsked = vm.restartShadow === true || shadowWish(vm, live.member.host) !== undefined;
  return {
    state: 'needShadow',
    reason: isAsked ? 'userAction' : (status.ftReason ?? 'initializing'),
  };
}

/** @param ratesOf of a process, by its name */
export function ftStatusOf(
  situation: Situation,
  nameOf: (host: string) => string,
  ratesOf: (process: string) => CopyRates = () => noRates,
): FtStatusView {
  const { vm, record, copies } = situation;
  const live = liveOf(situation);
  const status = live?.copy?.status;
  const eligible = record?.eligibleShadow;
  const shadowHost = eligible?.host ?? vm.shadowHost;
  const shadow = copies.find(
    ({ host, status: copy }) => host === shadowHost && copy.process !== live?.member.process,
  );
  return {
    vm: vm.spec.name,
    ...protectionOf(situation, live),
    generation: record?.generation ?? status?.generation ?? 0,
    primary: live === undefined ? null : { host: nameOf(live.member.host), pid: pidOf(status) },
    shadow:
      shadowHost === undefined || (shadow === undefined && eligible === undefined)
        ? null
        : {
            ...{ host: nameOf(shadowHost), pid: pidOf(shadow?.status), lagMs: status?.lagMs ?? 0 },
            ...(shadow?.status.replica && { replica: shadow.status.replica }),
          },
    logMbitPerSecond: ratesOf(live?.member.process ?? '').logMbitPerSecond,
    shadowCpuPercent: ratesOf(shadow?.status.process ?? '').cpuPercent,
    shadowMemoryBytes: shadow?.status.residentBytes ?? null,
    logBytesSent: status?.logBytesSent ?? 0,
    fingerprintsCompared: shadow?.status.fingerprintsCompared ?? 0,
    divergences: Math.max(status?.divergences ?? 0, shadow?.status.divergences ?? 0),
  };
}

/** 0: the process is about to be made. */
function pidOf(status: { readonly pid: number } | undefined): number | null {
  return status === undefined || status.pid === 0 ? null : status.pid;
}

export function powerStateOf(situation: Situation): VmView['state'] {
  const { vm, record, hosts } = situation;
  const live = liveOf(situation);
  const isOn = vm.wanted === 'on';
  if (live === undefined) {
    if (record === undefined) return 'unknown';
    if (isOn) return 'starting';
    const isSuspended = record.state === 'suspended' && !beginsOff(vm, record);
    return isSuspended ? 'suspended' : 'poweredOff';
  }
  if (situation.hasEnded(live.member)) return isOn ? 'starting' : 'poweredOff';
  const host = hosts.find((each) => each.id === live.member.host);
  if (host?.connected !== true) return 'unknown';
  return isOn ? 'poweredOn' : 'stopping';
}
