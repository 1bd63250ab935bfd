/** The copies on a host, each with its other half. */
import { Monitor, MonitorDot } from 'lucide-react';
import { Link } from 'wouter';
import type { HostView, VmView } from '../../../api/views.ts';
import { useList, useVmFigures } from '../../live/hooks.ts';
import { Panel } from '../../parts/page.tsx';
import { PlainTable } from '../../parts/plain-table.tsx';
import { powerStatus, Status, shortFtStatus } from '../../parts/status.tsx';
import { bytes, duration, percent, plural } from '../../parts/units.ts';
import { copiesOn, type HostedCopy, restingOn } from './copies.ts';

export function Copies({ host: { name } }: { readonly host: HostView }) {
  const vms = useList('vms');
  const copies = copiesOn(vms, name);
  const resting = restingOn(vms, name);
  const shadows = copies.filter(({ role }) => role === 'shadow').length;
  const counts = `${plural(copies.length - shadows, 'primary', 'primaries')}, ${plural(shadows, 'shadow')}`;
  return (
    <Panel
      title="Virtual machines here"
      aside={<span className="u-dim">{counts}</span>}
      className="u-wide"
    >
      {copies.length + resting.length === 0 ? (
        <p className="u-quiet">No VM runs here, and none has its shadow here.</p>
      ) : (
        <PlainTable
          label="Virtual machines here"
          heads={['VM', 'Copy', 'Fault tolerance', 'Other copy', 'CPU', 'Memory', 'Lag']}
        >
          {copies.map((copy) => (
            <Row key={`${copy.vm.id} ${copy.role}`} copy={copy} />
          ))}
          {resting.map((vm) => (
            <Resting key={vm.id} vm={vm} />
          ))}
        </PlainTable>
      )}
    </Panel>
  );
}

function Row({ copy: { vm, role, other } }: { readonly copy: HostedCopy }) {
  const figures = useVmFigures(vm.id);
  const own = role === 'primary' ? figures?.primary : figures?.shadow;
  const Sign = role === 'primary' ? MonitorDot : Monitor;
  return (
    <tr>
      <td>
        <Link href={`/vms/${vm.name}`}>{vm.name}</Link>
      </td>
      <td>
        <span className="u-role" data-role={role}>
          <Sign size={14} aria-hidden />
          {role === 'primary' ? 'Primary' : 'Shadow'}
        </span>
      </td>
      <td>
        <Status {...shortFtStatus(vm.ft)} />
      </td>
      <td>{other === undefined ? '–' : <Link href={`/hosts/${other}`}>{other}</Link>}</td>
      <td>{percent(own?.cpuPercent)}</td>
      <td>{bytes(own?.memoryBytes)}</td>
      <td>{role === 'primary' && other !== undefined ? duration(figures?.lagMs) : ''}</td>
    </tr>
  );
}

function Resting({ vm }: { readonly vm: VmView }) {
  return (
    <tr>
      <td>
        <Link href={`/vms/${vm.name}`}>{vm.name}</Link>
      </td>
      <td>
        <Status {...powerStatus(vm)} />
      </td>
      <td colSpan={5} className="u-dim">
        was here last
      </td>
    </tr>
  );
}
