/** A role, with what it may do. */
import { Select } from '@mantine/core';
import { mayAct, type Role, roles } from '../../api/roles.ts';

const words: Readonly<Record<Role, string>> = {
  viewer: 'Viewer: looks',
  operator: 'Operator: acts on VMs, too',
  administrator: 'Administrator: acts on hosts, people and the cluster, too',
};

export function RoleSelect({
  value,
  onChange,
  atMost = 'administrator',
  ...field
}: {
  readonly value: Role;
  readonly onChange: (role: Role) => void;
  readonly atMost?: Role;
  readonly error?: string;
  readonly name?: string;
}) {
  return (
    <Select
      label="Role"
      allowDeselect={false}
      data={roles
        .filter((role) => mayAct(atMost, role))
        .map((role) => ({ value: role, label: words[role] }))}
      value={value}
      onChange={(role) => role !== null && onChange(role as Role)}
      {...field}
    />
  );
}
