/** The disks of one VM: how large, where their files are, how equal, and what passes now. */
import { Button, Progress } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import type { VmView } from '../../../../../api/views.ts';
import { useMissingRole, useVmFigures } from '../../../../live/hooks.ts';
import { Dimmed } from '../../../../parts/action.tsx';
import { Empty } from '../../../../parts/empty.tsx';
import { Facts, Panel } from '../../../../parts/page.tsx';
import { Status } from '../../../../parts/status.tsx';
import { bytes, plural } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { GrowDisk } from './grow-disk.tsx';
import '../vm-tabs.css';

export default function Disks({ vm }: TabProps) {
  const { name, disks, id } = vm;
  const figures = useVmFigures(id);
  const rate = (value: number | null | undefined) =>
    value == null ? '–' : `${bytes(value)} a second`;
  if (disks.length === 0) {
    return (
      <Empty title={`${name} has no disks`}>
        Its image lives in memory alone: what the guest keeps there survives the loss of a host
        while it is protected, and ends when it is powered off.
      </Empty>
    );
  }
  return (
    <div className="u-columns">
      <Panel title={plural(disks.length, 'disk')} className="u-wide">
        <ul className="u-disks">
          {disks.map((disk, number) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a disk is its number
            <Disk key={number} {...{ vm, number }} bytesNow={disk.bytes} />
          ))}
        </ul>
      </Panel>
      <Panel title="Traffic">
        <Facts
          facts={[
            ['Read', rate(figures?.readBytesPerSecond)],
            ['Written', rate(figures?.writtenBytesPerSecond)],
            [
              'Over time',
              <Link key="charts" href={`/vms/${name}/charts`}>
                Charts
              </Link>,
            ],
          ]}
        />
      </Panel>
      <Replicas vm={vm} />
    </div>
  );
}

function Disk(props: { readonly vm: VmView; readonly number: number; readonly bytesNow: number }) {
  const { vm, number, bytesNow } = props;
  const [isGrowing, setGrowing] = useState(false);
  const missing = useMissingRole('resizeVm');
  const why =
    missing !== undefined
      ? `For people of the role ${missing}.`
      : vm.state === 'poweredOff'
        ? undefined
        : 'A disk grows while its VM is powered off.';
  return (
    <li>
      <strong>Disk {number}</strong>
      <span>{bytes(bytesNow)}</span>
      <span className="u-dim u-grow">
        virtio, for the guest <code>/dev/vd{String.fromCharCode(97 + number)}</code>
      </span>
      <Dimmed why={why}>
        {(dim) => (
          <Button
            size="xs"
            variant="default"
            aria-label={`Grow disk ${number}`}
            onClick={() => setGrowing(true)}
            {...dim}
          >
            Grow
          </Button>
        )}
      </Dimmed>
      {isGrowing && <GrowDisk {...{ vm, number, bytesNow }} onClose={() => setGrowing(false)} />}
    </li>
  );
}

/** Each copy's host has files of its own; a shadow that starts compares them block by block. */
function Replicas({ vm: { ft, host } }: { readonly vm: VmView }) {
  const { shadow, primary } = ft;
  const at = primary?.host ?? host;
  const replica = shadow?.replica;
  const isWhole = replica !== undefined && replica.bytesCompared >= replica.bytesTotal;
  return (
    <Panel title="Replicas">
      <Facts
        facts={[
          [
            'Primary',
            at === null ? (
              'none yet: made when it is first powered on'
            ) : (
              <Link key="at" href={`/hosts/${at}`}>
                {at}
              </Link>
            ),
          ],
          [
            'Shadow',
            shadow === null ? (
              'none'
            ) : (
              <Link key="shadow" href={`/hosts/${shadow.host}`}>
                {shadow.host}
              </Link>
            ),
          ],
          replica !== undefined && [
            'Known to be equal',
            isWhole ? (
              <Status key="whole" tone="good" text={`All ${bytes(replica.bytesTotal)}`} />
            ) : (
              <span key="part" className="u-replica">
                {`${bytes(replica.bytesCompared)} of ${bytes(replica.bytesTotal)}`}
                <Progress
                  value={(100 * replica.bytesCompared) / Math.max(1, replica.bytesTotal)}
                  aria-label="Compared"
                />
              </span>
            ),
          ],
          replica !== undefined && ['Sent for that', bytes(replica.bytesSent)],
        ]}
      />
    </Panel>
  );
}
