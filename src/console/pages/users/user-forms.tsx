/** A new user, another role, another password. */
import { TextInput } from '@mantine/core';
import { useState } from 'react';
import type { UserView } from '../../../api/people.ts';
import type { Role } from '../../../api/roles.ts';
import { useCluster } from '../../live/hooks.ts';
import { useApiForm } from '../../parts/form.tsx';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { differing, NewPassword, noPassword } from '../../parts/new-password.tsx';
import { RoleSelect } from '../../parts/role-select.tsx';
import { toastDone } from '../../parts/toast.tsx';

interface FormProps {
  /** Something has changed. */
  readonly onDone: () => void;
  readonly onClose: () => void;
}

export function CreateUser({ onDone, onClose }: FormProps) {
  const { client } = useCluster();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('operator');
  const [value, setValue] = useState(noPassword);
  const [idempotencyKey] = useState(() => crypto.randomUUID());
  const body = { name, role, password: value.password };
  const form = useApiForm(
    'createUser',
    body,
    async (checked) => {
      await client.call('createUser', { body: checked }, { idempotencyKey });
      toastDone(`${name} can log in.`);
      onDone();
      onClose();
    },
    differing(value),
  );
  return (
    <FormDialog title="Create user" verb="Create" form={form} onClose={onClose}>
      <TextInput
        label="Name"
        description="Lower-case letters, digits and inner dots, hyphens and underscores"
        autoComplete="off"
        data-autofocus
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        {...form.field('name')}
      />
      <RoleSelect value={role} onChange={setRole} {...form.field('role')} />
      <NewPassword value={value} onChange={setValue} field={form.field} />
    </FormDialog>
  );
}

export function SetRole({ user, onDone, onClose }: FormProps & { readonly user: UserView }) {
  const { client } = useCluster();
  const [role, setRole] = useState<Role>(user.role as Role);
  const form = useApiForm('setUserRole', { role }, async (body) => {
    await client.call('setUserRole', { params: { user: user.name }, body });
    toastDone(`${user.name} is ${role} from now on.`);
    onDone();
    onClose();
  });
  return (
    <FormDialog title={`Role of ${user.name}`} verb="Set role" form={form} onClose={onClose}>
      <p className="u-dim">Holds at once, for open sessions and API tokens, too.</p>
      <RoleSelect value={role} onChange={setRole} {...form.field('role')} />
    </FormDialog>
  );
}

export function SetPassword({ user, onDone, onClose }: FormProps & { readonly user: UserView }) {
  const { client } = useCluster();
  const [value, setValue] = useState(noPassword);
  const form = useApiForm(
    'setUserPassword',
    { password: value.password },
    async (body) => {
      await client.call('setUserPassword', { params: { user: user.name }, body });
      toastDone(`${user.name} has a new password.`);
      onDone();
      onClose();
    },
    differing(value),
  );
  return (
    <FormDialog
      title={`Password of ${user.name}`}
      verb="Set password"
      form={form}
      onClose={onClose}
    >
      <p className="u-dim">Sessions of {user.name} end. API tokens stay.</p>
      <NewPassword value={value} onChange={setValue} field={form.field} />
    </FormDialog>
  );
}
