/**
 * Maintenance: before it, what it would do with each copy; during it, what is still there and why.
 */
import { CornerDownRight } from 'lucide-react';
import { Link } from 'wouter';
import type { EvacuationView } from '../../../api/lifecycle-views.ts';
import type { HostView } from '../../../api/views.ts';
import { useCluster } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';
import { Permitted } from '../../parts/permitted.tsx';
import { PlainTable } from '../../parts/plain-table.tsx';
import { Problem, sentence } from '../../parts/problem.tsx';
import { Status } from '../../parts/status.tsx';
import { plural } from '../../parts/units.ts';
import { outcomeOf } from './outcome.ts';
import { usePreview } from './use-preview.ts';

type Move = EvacuationView['moves'][number];

export function MaintenanceAction({ host: { name, maintenance } }: { readonly host: HostView }) {
  const { client } = useCluster();
  const set = (on: boolean) =>
    client.call('setMaintenance', { params: { host: name }, body: { on } });
  return (
    <Permitted endpoint="setMaintenance">
      {maintenance === null ? (
        <Action
          label="Enter maintenance"
          endpoint="setMaintenance"
          confirm={<Asked host={name} />}
          run={() => set(true)}
        />
      ) : (
        <Action
          label="Leave maintenance"
          endpoint="setMaintenance"
          variant="filled"
          run={() => set(false)}
          done={`${name} takes VMs again.`}
        />
      )}
    </Permitted>
  );
}

function Asked({ host }: { readonly host: string }) {
  const { preview } = usePreview(host);
  return (
    <div className="u-stack">
      <p>
        Moves every copy off {host}, one after the other, and keeps new ones away until it leaves
        maintenance. Running VMs are not stopped.
      </p>
      {preview && <Status {...outcomeOf(host, preview)} />}
    </div>
  );
}

export function Maintenance({ host }: { readonly host: HostView }) {
  return host.maintenance === null ? (
    <Preview host={host.name} />
  ) : (
    <UnderWay host={host.name} state={host.maintenance} />
  );
}

function UnderWay({
  host,
  state: { isEmpty, remaining },
}: {
  readonly host: string;
  readonly state: NonNullable<HostView['maintenance']>;
}) {
  if (isEmpty) {
    return (
      <Status tone="good" text={`${host} is empty: it may be switched off, upgraded, replaced.`} />
    );
  }
  return (
    <>
      <Status tone="busy" text={`${plural(remaining.length, 'copy', 'copies')} still here`} />
      <PlainTable label="Copies that are still here" heads={['VM', 'Copy', 'Why']}>
        {remaining.map(({ vm, copy, why }) => (
          <tr key={`${vm} ${copy}`}>
            <td>
              <Link href={`/vms/${vm}`}>{vm}</Link>
            </td>
            <td>{copyText(copy)}</td>
            <td>
              {why === null ? (
                <Status tone="busy" text="On its way" />
              ) : (
                <Status tone="warn" text={sentence(why)} />
              )}
            </td>
          </tr>
        ))}
      </PlainTable>
    </>
  );
}

function Preview({ host }: { readonly host: string }) {
  const { preview, error } = usePreview(host);
  if (error !== null) return <Problem error={error} />;
  if (preview === undefined) return null;
  const { moves, stranded } = preview;
  return (
    <>
      <div className="u-outcome" data-tone={outcomeOf(host, preview).tone}>
        <Status {...outcomeOf(host, preview)} />
      </div>
      {moves.length > 0 && (
        <PlainTable
          label="Where each copy would go"
          heads={['VM', 'Copy', 'Would go', 'Protected then by']}
        >
          {moves.map((move) => (
            <MoveRow key={`${move.vm} ${move.copy}`} move={move} />
          ))}
        </PlainTable>
      )}
      {stranded.length > 0 && (
        <ul className="u-stranded u-words">
          {stranded.map(({ vm, needs }) => (
            <li key={vm}>
              <Link href={`/vms/${vm}`}>{vm}</Link> is off and could not be powered on meanwhile:{' '}
              {needs === 'disks' ? 'its disks are' : 'its saved state is'} on {host} only.
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

const copyText = (copy: 'live' | 'shadow'): string => (copy === 'live' ? 'Primary' : 'Shadow');

const ways: Readonly<Record<Move['how'], string>> = {
  'take-over': 'its shadow takes over on',
  migrate: 'migrates to',
  'move-shadow': 'a new shadow is built on',
};

function MoveRow({ move: { vm, copy, how, to, why, shadow } }: { readonly move: Move }) {
  return (
    <tr>
      <td>
        <Link href={`/vms/${vm}`}>{vm}</Link>
      </td>
      <td>{copyText(copy)}</td>
      <td>
        {to === null ? (
          <Status tone="bad" text={`Stays: ${why}`} />
        ) : (
          <span className="u-status">
            <CornerDownRight size={14} aria-hidden />
            <span className="u-words">
              {ways[how]} <Link href={`/hosts/${to}`}>{to}</Link>
            </span>
          </span>
        )}
      </td>
      <td>{shadow !== null && <NextShadow shadow={shadow} />}</td>
    </tr>
  );
}

function NextShadow({ shadow: { to, why } }: { readonly shadow: NonNullable<Move['shadow']> }) {
  if (to === null) return <Status tone="warn" text={`Nobody: ${why}`} />;
  return (
    <span className="u-words">
      a new shadow on <Link href={`/hosts/${to}`}>{to}</Link>
    </span>
  );
}
