/** The way in: a name and a password. The cookie that it gives, this page's scripts cannot read. */
import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useCluster } from '../live/hooks.ts';
import { useApiForm } from '../parts/form.tsx';
import { Mark } from '../shell/mark.tsx';

export function Login() {
  const link = useCluster();
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const { form, field, isBusy, problemView } = useApiForm(
    'login',
    { user, password, cookie: true },
    async (body) => link.opened((await link.client.call('login', { body })).session),
    { password: password === '' ? 'This is needed.' : undefined },
  );
  return (
    <main className="u-alone">
      <title>Log in – Umbra</title>
      <form {...form} className="u-login">
        <h1>
          <Mark /> Umbra
        </h1>
        <TextInput
          label="User"
          autoComplete="username"
          autoFocus
          value={user}
          onChange={(event) => setUser(event.currentTarget.value)}
          {...field('user')}
        />
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          {...field('password')}
        />
        {problemView}
        <Button type="submit" size="sm" loading={isBusy} fullWidth>
          Log in
        </Button>
        <p className="u-dim">
          The center printed the first user and password when it was started for the first time.
        </p>
      </form>
    </main>
  );
}
