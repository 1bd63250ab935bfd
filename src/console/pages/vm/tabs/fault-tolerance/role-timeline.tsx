/** Who was live when, and what became of the shadow: from the VM's events, newest first. */
import { Timeline } from '@mantine/core';
import { ArrowLeftRight, Power, ShieldAlert, ShieldCheck, ShieldOff, ShieldX } from 'lucide-react';
import type { VmView } from '../../../../../api/views.ts';
import { Problem } from '../../../../parts/problem.tsx';
import { Time } from '../../../../parts/time.tsx';
import { useVmEvents } from '../../use-vm-events.ts';
import { type RoleChange, roleChanges } from './role-changes.ts';

const signs = {
  failover: ArrowLeftRight,
  protected: ShieldCheck,
  lost: ShieldX,
  needed: ShieldAlert,
  off: ShieldOff,
  power: Power,
} as const;

const shownMax = 20;

export function RoleTimeline({ vm }: { readonly vm: VmView }) {
  const { events, error } = useVmEvents(vm.name);
  const changes = roleChanges(events).slice(-shownMax).reverse();
  if (error !== null && error !== undefined) return <Problem error={error} />;
  if (changes.length === 0) return <p className="u-quiet">No role has changed yet.</p>;
  return (
    <Timeline bulletSize={22} lineWidth={1} color="gray">
      {changes.map((change) => (
        <Item key={change.sequence} change={change} />
      ))}
    </Timeline>
  );
}

function Item({ change: { kind, text, cause, facts, time } }: { readonly change: RoleChange }) {
  const Sign = signs[kind];
  return (
    <Timeline.Item bullet={<Sign size={13} aria-hidden />} title={text} data-kind={kind}>
      <span className="u-dim">
        <Time at={time} />
        {[cause, ...facts].map((each) => each !== undefined && `, ${each}`)}
      </span>
    </Timeline.Item>
  );
}
