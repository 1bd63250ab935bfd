/** A new API token, shown this once, with how a script uses it. */
import { Button, Code, CopyButton, Group, Modal, Select, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { Role } from '../../../api/roles.ts';
import { useCluster, useSession } from '../../live/hooks.ts';
import { useApiForm } from '../../parts/form.tsx';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { RoleSelect } from '../../parts/role-select.tsx';

const day = 86_400;
const lifetimes = [
  { value: String(day), label: 'A day' },
  { value: String(30 * day), label: '30 days' },
  { value: String(90 * day), label: '90 days' },
  { value: String(365 * day), label: 'A year' },
  { value: 'ever', label: 'Until it is revoked' },
];

export function CreateToken({
  onDone,
  onClose,
}: {
  readonly onDone: () => void;
  readonly onClose: () => void;
}) {
  const { client } = useCluster();
  const { role: own } = useSession();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [lifetime, setLifetime] = useState(String(30 * day));
  const [secret, setSecret] = useState<string | undefined>();
  const [idempotencyKey] = useState(() => crypto.randomUUID());
  const body = { name, role, ...(lifetime !== 'ever' && { ttlSeconds: Number(lifetime) }) };
  const form = useApiForm('createApiToken', body, async (checked) => {
    const { token } = await client.call('createApiToken', { body: checked }, { idempotencyKey });
    setSecret(token);
    onDone();
  });
  if (secret !== undefined) return <Made name={name} secret={secret} onClose={onClose} />;
  return (
    <FormDialog title="Create API token" verb="Create" form={form} onClose={onClose}>
      <TextInput
        label="Name"
        description="For people to recognise it by, such as backup script"
        autoComplete="off"
        data-autofocus
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        {...form.field('name')}
      />
      <RoleSelect value={role} onChange={setRole} atMost={own} {...form.field('role')} />
      <Select
        label="Good for"
        allowDeselect={false}
        data={lifetimes}
        value={lifetime}
        onChange={(value) => value !== null && setLifetime(value)}
        {...form.field('ttlSeconds')}
      />
    </FormDialog>
  );
}

function Made({
  name,
  secret,
  onClose,
}: {
  readonly name: string;
  readonly secret: string;
  readonly onClose: () => void;
}) {
  return (
    // A click beside it would lose what cannot be shown again.
    <Modal
      opened
      onClose={onClose}
      title={`API token ${name}`}
      size="lg"
      closeOnClickOutside={false}
    >
      <div className="u-stack">
        <p>This is shown once and kept nowhere. Whoever has it can do what its role may do.</p>
        <Code block className="u-command" tabIndex={0} aria-label="The token">
          {secret}
        </Code>
        <p className="u-dim">
          A script sends it with each call, as <code>Authorization: Bearer TOKEN</code>; the{' '}
          <a href="/api/reference" target="_blank" rel="noreferrer">
            API reference
          </a>{' '}
          has all calls.
        </p>
        <Group justify="flex-end" gap="xs">
          <CopyButton value={secret}>
            {({ copied, copy }) => (
              <Button onClick={copy}>{copied ? 'Copied' : 'Copy the token'}</Button>
            )}
          </CopyButton>
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
        </Group>
      </div>
    </Modal>
  );
}
