/** Both copies and what flows between them; the picture stays and its figures change in place. */
import { ArrowLeft, ArrowRight, Monitor, MonitorDot } from 'lucide-react';
import { Link } from 'wouter';
import type { CopyFigures, VmFigures } from '../../../../../api/live.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useHost } from '../../../../live/hooks.ts';
import { hostStatus, Status } from '../../../../parts/status.tsx';
import { bytes, count, duration, megabits, percent } from '../../../../parts/units.ts';

export function PairPicture({
  vm: { ft },
  figures,
}: {
  readonly vm: VmView;
  readonly figures: VmFigures | undefined;
}) {
  const { primary, shadow, state } = ft;
  const replica = shadow?.replica;
  return (
    <div className="u-pair" data-state={state}>
      <CopyBox as="Primary" host={primary?.host} figures={figures?.primary ?? null} />
      <div className="u-pair-link">
        <div>
          <span>log</span>
          <b>{megabits(figures?.logMbitPerSecond)}</b>
          <ArrowRight size={16} aria-hidden />
        </div>
        <div>
          <ArrowLeft size={16} aria-hidden />
          <span>acknowledged, lag</span>
          <b>{duration(figures?.lagMs)}</b>
        </div>
        <div>
          <span>round trip</span>
          <b>{duration(figures?.logRoundTripMs)}</b>
          <span>gate</span>
          <b>{duration(figures?.gate?.medianMs)}</b>
        </div>
      </div>
      <CopyBox as="Shadow" host={shadow?.host} figures={figures?.shadow ?? null}>
        {replica !== undefined && state !== 'running' && replica.bytesTotal > 0 && (
          <span className="u-dim">
            disks: {percent((100 * replica.bytesCompared) / replica.bytesTotal)} the same
          </span>
        )}
      </CopyBox>
    </div>
  );
}

function CopyBox({
  as: role,
  host,
  figures,
  children,
}: {
  readonly as: 'Primary' | 'Shadow';
  readonly host: string | undefined;
  readonly figures: CopyFigures | null;
  readonly children?: React.ReactNode;
}) {
  const Sign = role === 'Primary' ? MonitorDot : Monitor;
  return (
    <div className="u-copy" data-role={role} data-absent={host === undefined}>
      <div className="u-copy-head">
        <Sign size={18} aria-hidden />
        <strong>{role}</strong>
        {host === undefined ? <span className="u-dim">none</span> : <Where host={host} />}
      </div>
      {host !== undefined && (
        <dl>
          <dt>executed</dt>
          <dd>{count(figures?.count)}</dd>
          <dt>CPU</dt>
          <dd>{percent(figures?.cpuPercent)}</dd>
          <dt>memory</dt>
          <dd>{bytes(figures?.memoryBytes)}</dd>
        </dl>
      )}
      {children}
    </div>
  );
}

function Where({ host }: { readonly host: string }) {
  const view = useHost(host);
  return (
    <>
      <Link href={`/hosts/${host}`}>{host}</Link>
      {view !== undefined && view.state !== 'connected' && <Status {...hostStatus(view)} />}
    </>
  );
}
