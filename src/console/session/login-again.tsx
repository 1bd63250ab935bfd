/** The session has ended: the same person logs in again, and everything goes on where it was. */
import { Button, Group, Modal, PasswordInput } from '@mantine/core';
import { useState } from 'react';
import type { SessionView } from '../../api/people.ts';
import { useCluster } from '../live/hooks.ts';
import { useApiForm } from '../parts/form.tsx';
import { sentence } from '../parts/problem.tsx';

export function LoginAgain({
  session,
  why,
}: {
  readonly session: SessionView;
  readonly why: string;
}) {
  const link = useCluster();
  const [password, setPassword] = useState('');
  const { form, field, isBusy, problemView } = useApiForm(
    'login',
    { user: session.name, password, cookie: true },
    async (body) => link.opened((await link.client.call('login', { body })).session),
    { password: password === '' ? 'This is needed.' : undefined },
  );
  return (
    <Modal
      opened
      onClose={() => {}}
      withCloseButton={false}
      closeOnEscape={false}
      closeOnClickOutside={false}
      zIndex={300}
      title="Log in again"
      centered
    >
      <form {...form} className="u-stack">
        <p>
          {sentence(why)} What you were doing stays as it is and goes on when you have logged in.
        </p>
        <PasswordInput
          label={`Password of ${session.name}`}
          autoComplete="current-password"
          data-autofocus
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          {...field('password')}
        />
        {problemView}
        <Group justify="space-between">
          <Button variant="subtle" color="gray" onClick={() => link.logout()}>
            Log out
          </Button>
          <Button type="submit" loading={isBusy}>
            Log in
          </Button>
        </Group>
      </form>
    </Modal>
  );
}
