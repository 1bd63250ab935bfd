/** The cluster's health in a line, on every page. */
import { Link } from 'wouter';
import { healthOf } from '../live/health.ts';
import { useList } from '../live/hooks.ts';
import { Status } from '../parts/status.tsx';
import { plural } from '../parts/units.ts';

export function HealthStrip() {
  const vms = useList('vms');
  const hosts = useList('hosts');
  const alarms = useList('alarms');
  const health = healthOf(vms, hosts, alarms);
  return (
    <Link href="/" className="u-health" title="Health of the cluster">
      <Status tone={health.tone} text={health.text} />
      {health.openAlarms > 0 && (
        <span className="u-dim">{plural(health.openAlarms, 'open alarm')}</span>
      )}
    </Link>
  );
}
