/** Who may log in, and what they may do. */
import { ActionIcon, Button, Menu } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Ellipsis, Plus } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import type { UserView } from '../../../api/people.ts';
import { roles } from '../../../api/roles.ts';
import { useCluster, useSession } from '../../live/hooks.ts';
import { Confirm } from '../../parts/action.tsx';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Page } from '../../parts/page.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Time } from '../../parts/time.tsx';
import { CreateUser, SetPassword, SetRole } from './user-forms.tsx';

type Dialog =
  | { readonly kind: 'create' }
  | { readonly kind: 'role' | 'password' | 'remove'; readonly user: UserView };

export default function Users() {
  const { client } = useCluster();
  const queries = useQueryClient();
  const { name: own } = useSession();
  const { data, error } = useQuery({
    queryKey: ['users'],
    queryFn: ({ signal }) => client.call('listUsers', undefined, { signal }),
  });
  const [dialog, setDialog] = useState<Dialog | undefined>();
  const columns = useMemo(() => columnsOf(own, setDialog), [own]);
  const onDone = () => void queries.invalidateQueries({ queryKey: ['users'] });
  const onClose = () => setDialog(undefined);
  return (
    <Page
      title="Users"
      actions={
        <Button
          leftSection={<Plus size={14} aria-hidden />}
          onClick={() => setDialog({ kind: 'create' })}
        >
          Create user
        </Button>
      }
      fills
    >
      {error !== null && <Problem error={error} />}
      {data && (
        <DataTable
          label="users"
          noun="user"
          rows={data}
          rowId={({ name }) => name}
          columns={columns}
          text={textOf}
        />
      )}
      {dialog?.kind === 'create' && <CreateUser onDone={onDone} onClose={onClose} />}
      {dialog?.kind === 'role' && <SetRole user={dialog.user} onDone={onDone} onClose={onClose} />}
      {dialog?.kind === 'password' && (
        <SetPassword user={dialog.user} onDone={onDone} onClose={onClose} />
      )}
      {dialog?.kind === 'remove' && (
        <Confirm
          label={`Remove ${dialog.user.name}`}
          isDangerous
          done={`${dialog.user.name} was removed.`}
          run={async () => {
            await client.call('removeUser', { params: { user: dialog.user.name } });
            onDone();
          }}
          onClose={onClose}
        >
          {dialog.user.name} cannot log in any more. Open sessions end, and API tokens of{' '}
          {dialog.user.name} are worth nothing from now on. What was done stays in the audit trail.
        </Confirm>
      )}
    </Page>
  );
}

const textOf = ({ name, role }: UserView): string => `${name} ${role}`.toLowerCase();

const columnsOf = (own: string, open: (dialog: Dialog) => void): readonly Column<UserView>[] => [
  {
    ...{ key: 'name', head: 'Name', width: 'minmax(8rem, 1.4fr)' },
    cell: ({ name }) => (
      <>
        {name} {name === own && <span className="u-dim">(you)</span>}
      </>
    ),
    sort: ({ name }) => name,
  },
  {
    ...{ key: 'role', head: 'Role', width: 'minmax(7rem, 1fr)' },
    cell: ({ role }) => role,
    sort: ({ role }) => roles.indexOf(role as (typeof roles)[number]),
  },
  {
    ...{ key: 'last', head: 'Last login', width: 'minmax(9.5rem, 1fr)' },
    cell: ({ lastLogin }) =>
      lastLogin === null ? <span className="u-dim">never</span> : <Time at={lastLogin} />,
    sort: ({ lastLogin }) => lastLogin ?? '',
  },
  {
    ...{ key: 'password', head: 'Password set', width: 'minmax(9.5rem, 1fr)' },
    cell: ({ passwordChanged }) => <Time at={passwordChanged} />,
    sort: ({ passwordChanged }) => passwordChanged,
  },
  {
    ...{ key: 'made', head: 'Created', width: 'minmax(9.5rem, 1fr)' },
    cell: ({ made }) => <Time at={made} />,
    sort: ({ made }) => made,
  },
  {
    ...{ key: 'does', head: 'Does', width: '6.5rem' },
    cell: ({ name }) => <Link href={`/audit?who=${name}`}>Audit trail</Link>,
  },
  {
    ...{ key: 'more', head: 'Change', width: '5rem', align: 'end' },
    cell: (user) => <More user={user} isOwn={user.name === own} open={open} />,
  },
];

function More({
  user,
  isOwn,
  open,
}: {
  readonly user: UserView;
  readonly isOwn: boolean;
  readonly open: (dialog: Dialog) => void;
}) {
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Change ${user.name}`}>
          <Ellipsis size={16} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item onClick={() => open({ kind: 'role', user })}>Set role …</Menu.Item>
        {isOwn ? (
          <Menu.Item component={Link} href="/account">
            Set password …
          </Menu.Item>
        ) : (
          <Menu.Item onClick={() => open({ kind: 'password', user })}>Set password …</Menu.Item>
        )}
        <Menu.Item color="red" onClick={() => open({ kind: 'remove', user })}>
          Remove …
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
