/** What is on a host: primaries and shadows, with where their other halves are. Pure. */
import type { VmView } from '../../../api/views.ts';

export interface HostedCopy {
  readonly vm: VmView;
  readonly role: 'primary' | 'shadow';
  /** The host of the other copy; undefined: there is none. */
  readonly other: string | undefined;
}

/** Primaries first, each in the order of the VMs. @param host by name */
export function copiesOn(vms: readonly VmView[], host: string): readonly HostedCopy[] {
  const primaries: HostedCopy[] = [];
  const shadows: HostedCopy[] = [];
  for (const vm of vms) {
    const { primary, shadow } = vm.ft;
    if (primary?.host === host) primaries.push({ vm, role: 'primary', other: shadow?.host });
    if (shadow?.host === host) shadows.push({ vm, role: 'shadow', other: primary?.host });
  }
  return [...primaries, ...shadows];
}

/** VMs that are off and would be powered on here, or were on here last. */
export const restingOn = (vms: readonly VmView[], host: string): readonly VmView[] =>
  vms.filter((vm) => vm.host === host && (vm.state === 'poweredOff' || vm.state === 'suspended'));
