/** A join token and the command that uses it, ready to be copied. The token is shown this once. */
import { Button, Code, CopyButton, Group, Modal, SegmentedControl } from '@mantine/core';
import { useState } from 'react';
import { useCluster } from '../../live/hooks.ts';
import { useAct } from '../../parts/action.tsx';
import { when } from '../../parts/units.ts';

export function JoinHost({ onClose }: { readonly onClose: () => void }) {
  const { client } = useCluster();
  const [kind, setKind] = useState<'host' | 'gateway'>('host');
  const [made, setMade] = useState<{ token: string; expires: string } | undefined>();
  const { isBusy, act } = useAct('Make a join token');
  const make = () =>
    act(async () => setMade(await client.call('createJoinToken', { body: { kind } })));
  const command =
    made &&
    `UMBRA_JOIN_TOKEN=${made.token} umbra ${kind} start --join ${location.origin} --data ~/umbra/${kind}`;
  return (
    <Modal opened onClose={onClose} title="Join a host or gateway" size="lg">
      <div className="u-stack">
        <p>
          On the machine that is to join, install Umbra and run the command. The token lets one
          daemon in, within a day; the daemon keeps a certificate of its own from then on.
        </p>
        <SegmentedControl
          size="xs"
          aria-label="What joins"
          data={[
            { value: 'host', label: 'Host' },
            { value: 'gateway', label: 'Gateway' },
          ]}
          value={kind}
          onChange={(value) => {
            setKind(value as 'host' | 'gateway');
            setMade(undefined);
          }}
        />
        {command === undefined ? (
          <Group>
            <Button loading={isBusy} onClick={make}>
              Make a join token
            </Button>
          </Group>
        ) : (
          <>
            <Code block className="u-command">
              {command}
            </Code>
            <Group justify="space-between">
              <span className="u-dim">
                Good for one {kind} until {when(made!.expires)}.
              </span>
              <CopyButton value={command}>
                {({ copied, copy }) => (
                  <Button onClick={copy}>{copied ? 'Copied' : 'Copy the command'}</Button>
                )}
              </CopyButton>
            </Group>
          </>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
        </Group>
      </div>
    </Modal>
  );
}
