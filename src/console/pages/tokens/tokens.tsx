/** API tokens: one's own, as an administrator everybody's. */
import { Button } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { ExternalLink, Plus } from 'lucide-react';
import { useMemo, useState } from 'react';
import type { ApiTokenView } from '../../../api/people.ts';
import { useCluster, useMay } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Page } from '../../parts/page.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Status } from '../../parts/status.tsx';
import { Time } from '../../parts/time.tsx';
import { CreateToken } from './create-token.tsx';

export default function Tokens() {
  const { client } = useCluster();
  const queries = useQueryClient();
  const seesAll = useMay('administrator');
  const [isCreating, setCreating] = useState(false);
  const { data, error } = useQuery({
    queryKey: ['api-tokens'],
    queryFn: ({ signal }) => client.call('listApiTokens', undefined, { signal }),
  });
  const onDone = () => void queries.invalidateQueries({ queryKey: ['api-tokens'] });
  const columns = useMemo(
    () =>
      columnsOf(async (token) => {
        await client.call('revokeApiToken', { params: { token } });
        await queries.invalidateQueries({ queryKey: ['api-tokens'] });
      }).filter(({ key }) => seesAll || key !== 'user'),
    [client, queries, seesAll],
  );
  const create = (
    <Button leftSection={<Plus size={14} aria-hidden />} onClick={() => setCreating(true)}>
      Create API token
    </Button>
  );
  return (
    <Page
      title="API tokens"
      state={
        <a href="/api/reference" target="_blank" rel="noreferrer">
          API reference <ExternalLink size={12} aria-hidden />
        </a>
      }
      actions={data && data.length > 0 && create}
      fills
    >
      {error !== null && <Problem error={error} />}
      {data && (
        <DataTable
          label="API tokens"
          noun="token"
          rows={data}
          rowId={({ id }) => id}
          columns={columns}
          text={textOf}
          empty={
            <Empty title="No API tokens" action={create}>
              Scripts and programs call the API with a token of their own, so that it can be revoked
              without anybody having to change a password.
            </Empty>
          }
        />
      )}
      {isCreating && <CreateToken onDone={onDone} onClose={() => setCreating(false)} />}
    </Page>
  );
}

const textOf = ({ name, role, user, id }: ApiTokenView): string =>
  `${name} ${role} ${user ?? ''} ${id}`.toLowerCase();

const columnsOf = (revoke: (id: string) => Promise<unknown>): readonly Column<ApiTokenView>[] => [
  {
    ...{ key: 'name', head: 'Name', width: 'minmax(9rem, 1.6fr)' },
    cell: ({ name, id }) => <span title={id}>{name}</span>,
    sort: ({ name }) => name,
  },
  {
    ...{ key: 'user', head: 'Of', width: 'minmax(10rem, 1fr)' },
    cell: ({ user }) => user ?? <span className="u-dim">the center's machine</span>,
    sort: ({ user }) => user ?? '',
  },
  {
    ...{ key: 'role', head: 'Role', width: 'minmax(7rem, 0.8fr)' },
    cell: ({ role }) => role,
    sort: ({ role }) => role,
  },
  {
    ...{ key: 'expires', head: 'Good until', width: 'minmax(9.5rem, 1fr)' },
    cell: ({ expires }) => <Until expires={expires} />,
    sort: ({ expires }) => expires ?? '9999',
  },
  {
    ...{ key: 'used', head: 'Last used', width: 'minmax(9.5rem, 1fr)' },
    cell: ({ lastUsed }) =>
      lastUsed === null ? <span className="u-dim">never</span> : <Time at={lastUsed} />,
    sort: ({ lastUsed }) => lastUsed ?? '',
  },
  {
    ...{ key: 'made', head: 'Created', width: 'minmax(9.5rem, 1fr)' },
    cell: ({ made }) => <Time at={made} />,
    sort: ({ made }) => made,
  },
  {
    ...{ key: 'revoke', head: 'Revoke', width: '6rem', align: 'end' },
    cell: ({ id, name }) => (
      <Action
        label="Revoke"
        aria-label={`Revoke ${name}`}
        endpoint="revokeApiToken"
        size="compact-xs"
        confirm={`Whatever uses ${name} is refused from now on, and so are tokens that were made with it.`}
        run={() => revoke(id)}
        done={`${name} was revoked.`}
      />
    ),
  },
];

function Until({ expires }: { readonly expires: string | null }) {
  if (expires === null) return <span className="u-dim">it is revoked</span>;
  if (Date.parse(expires) < Date.now()) return <Status tone="off" text="Expired" />;
  return <Time at={expires} />;
}
