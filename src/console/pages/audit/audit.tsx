/** Every changing call: who, from where, what, and what came of it. `?who=olga` shows hers alone. */
import { Button, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { RefreshCw } from 'lucide-react';
import { useMemo, useState } from 'react';
import { useSearchParams } from 'wouter';
import type { AuditView } from '../../../api/people.ts';
import { useCluster } from '../../live/hooks.ts';
import { type Column, DataTable } from '../../parts/data-table.tsx';
import { Details } from '../../parts/details.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Page } from '../../parts/page.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Status } from '../../parts/status.tsx';
import { TextButton } from '../../parts/text-button.tsx';
import { Time } from '../../parts/time.tsx';
import { duration, exactTime } from '../../parts/units.ts';

const shownMax = 1000;

export default function Audit() {
  const { client } = useCluster();
  const [search, setSearch] = useSearchParams();
  const who = search.get('who') ?? '';
  const [opened, setOpened] = useState<AuditView | undefined>();
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ['audit'],
    queryFn: ({ signal }) =>
      client.call('listAudit', { query: { last: true, limit: shownMax } }, { signal }),
    staleTime: 0,
  });
  const rows = useMemo(
    () => (data ?? []).filter((record) => who === '' || record.who === who).reverse(),
    [data, who],
  );
  const columns = useMemo(() => columnsOf(setOpened), []);
  return (
    <Page
      title="Audit trail"
      actions={
        <Button
          variant="default"
          leftSection={<RefreshCw size={14} aria-hidden />}
          loading={isFetching}
          onClick={() => refetch()}
        >
          Read again
        </Button>
      }
      fills
    >
      {error !== null && <Problem error={error} />}
      {data && (
        <DataTable
          label="audit records"
          noun="record"
          isLog
          rows={rows}
          rowId={rowId}
          columns={columns}
          text={textOf}
          onOpen={setOpened}
          tools={
            <TextInput
              size="xs"
              aria-label="By whom"
              placeholder="By anybody"
              value={who}
              onChange={({ currentTarget: { value } }) =>
                setSearch(value === '' ? {} : { who: value }, { replace: true })
              }
            />
          }
          empty={
            who === '' ? (
              <Empty title="No records yet">Every call that changes something is kept here.</Empty>
            ) : undefined
          }
        />
      )}
      {opened && (
        <Details
          title={opened.action}
          facts={[
            ['Time', exactTime(opened.time)],
            ['Who', opened.who],
            ['Role', opened.role ?? 'none'],
            ['From', opened.address],
            ['Outcome', <Outcome key="outcome" outcome={opened.outcome} />],
            ['Took', duration(opened.milliseconds)],
            opened.skipped > 0 && ['Refusals before it, not written down', opened.skipped],
          ]}
          data={opened.input}
          onClose={() => setOpened(undefined)}
        />
      )}
    </Page>
  );
}

const rowId = ({ sequence }: AuditView): string => String(sequence);

const inputText = ({ input }: AuditView): string =>
  Object.entries(input)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');

const textOf = (record: AuditView): string =>
  [record.who, record.action, record.address, record.outcome, inputText(record)]
    .join(' ')
    .toLowerCase();

function Outcome({ outcome }: { readonly outcome: string }) {
  return outcome === 'done' ? (
    <Status tone="good" text="Done" />
  ) : (
    <Status tone="warn" text={outcome} />
  );
}

const columnsOf = (open: (record: AuditView) => void): readonly Column<AuditView>[] => [
  {
    ...{ key: 'time', head: 'Time', width: '9.5rem' },
    cell: ({ time }) => <Time at={time} />,
    sort: ({ sequence }) => sequence,
  },
  {
    ...{ key: 'who', head: 'Who', width: 'minmax(7rem, 0.8fr)' },
    cell: ({ who }) => <span title={who}>{who}</span>,
    sort: ({ who }) => who,
  },
  {
    ...{ key: 'action', head: 'What', width: 'minmax(8rem, 0.9fr)' },
    cell: (record) => <TextButton text={record.action} onClick={() => open(record)} />,
    sort: ({ action }) => action,
  },
  {
    ...{ key: 'input', head: 'With', width: 'minmax(10rem, 2fr)' },
    cell: (record) => <span title={inputText(record)}>{inputText(record)}</span>,
  },
  {
    ...{ key: 'outcome', head: 'Outcome', width: 'minmax(8rem, 0.9fr)' },
    cell: ({ outcome }) => <Outcome outcome={outcome} />,
    sort: ({ outcome }) => outcome,
  },
  {
    ...{ key: 'role', head: 'Role', width: '7.5rem' },
    cell: ({ role }) => role ?? <span className="u-dim">none</span>,
    sort: ({ role }) => role ?? '',
  },
  {
    ...{ key: 'address', head: 'From', width: 'minmax(6.5rem, 0.6fr)' },
    cell: ({ address }) => address,
    sort: ({ address }) => address,
  },
  {
    ...{ key: 'took', head: 'Took', width: '5rem', align: 'end' },
    cell: ({ milliseconds }) => duration(milliseconds),
    sort: ({ milliseconds }) => milliseconds,
  },
];
