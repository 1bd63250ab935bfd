/** What a VM process says of itself, every fifth of a second and when something happens. */
import type { FlightStatus, RecordingStatus, VmStatus } from '../../api/agent.ts';
import type { Copy } from '../../lockstep/copy.ts';
import type { DelaySummary } from '../../lockstep/gate-delays.ts';
import type { Report } from '../../lockstep/status.ts';
import type { Traffic } from './traffic.ts';

/** Facts that a copy does not know, or forgets when it changes its role. */
export interface Surroundings {
  readonly vm: string;
  readonly process: string;
  readonly logAddress: string;
  /** Undefined until this copy listens. */
  readonly logPort: number | undefined;
  readonly fingerprintsCompared: number;
  readonly divergences: number;
  readonly watchdogSeconds: number | undefined;
  readonly traffic: Traffic;
  readonly recordings: readonly RecordingStatus[];
  readonly flight: FlightStatus | undefined;
}

export function vmStatus(copy: Copy | undefined, around: Surroundings): VmStatus {
  const { vm, process: name, logAddress, logPort } = around;
  const { fingerprintsCompared, divergences, watchdogSeconds, traffic, recordings, flight } =
    around;
  const ended = copy?.ended;
  const status = copy?.status();
  const { user, system } = process.cpuUsage();
  const compared = copy?.shadow?.lastFingerprint;
  const machine = copy?.primary?.machine ?? copy?.shadow?.machine;
  const typedBytes = copy?.primary?.typedSafely;
  return {
    vm,
    pid: process.pid,
    process: name,
    role: roleOf(copy),
    count: String(machine?.count ?? 0n),
    epoch: status?.epoch ?? 0,
    generation: status?.generation ?? 0,
    ...(logPort !== undefined && { logAddress, logPort }),
    ftState: status?.state ?? 'notConfigured',
    ...(status?.reason !== undefined && { ftReason: status.reason }),
    ...(status?.shadow !== undefined && { shadowHost: status.shadow.host }),
    lagMs: (status?.lagMicros ?? 0) / 1000,
    logBytesSent: status?.logBytesSent ?? 0,
    ...(status?.logRoundTripMicros !== undefined && {
      logRoundTripMs: status.logRoundTripMicros / 1000,
    }),
    fingerprintsCompared,
    divergences,
    ...(watchdogSeconds !== undefined && { watchdogSeconds }),
    ...(copy?.shadow !== undefined && { replica: copy.shadow.replica }),
    ...(status?.gateDelays !== undefined && {
      gate: gateOf(status.gateDelays, status.heldOutputs),
    }),
    ...(compared !== undefined && {
      lastFingerprint: { position: compared.position, count: String(compared.count) },
    }),
    ...(typedBytes !== undefined && { typedBytes }),
    cpuMicros: user + system,
    residentBytes: process.memoryUsage.rss(),
    ...traffic.totals,
    ...(recordings.length > 0 && { recordings }),
    ...(flight !== undefined && { flight }),
    ...(ended && { ended: { kind: ended.kind, text: ended.text } }),
  };
}

function gateOf(
  { medianMicros, p99Micros }: DelaySummary,
  held: number,
): NonNullable<VmStatus['gate']> {
  return { medianMs: medianMicros / 1000, p99Ms: p99Micros / 1000, held };
}

function roleOf(copy: Copy | undefined): VmStatus['role'] {
  if (copy === undefined) return 'starting';
  if (copy.ended !== undefined) return 'ended';
  return copy.primary !== undefined ? 'live' : 'shadow';
}

/** As JSON has it: counts and positions that are bigint become decimal strings. */
export function plainReport(report: Report): Readonly<Record<string, unknown>> {
  const text = JSON.stringify(report, (_key, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  return JSON.parse(text) as Record<string, unknown>;
}
