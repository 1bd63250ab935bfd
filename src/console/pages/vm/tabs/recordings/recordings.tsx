/**
 * Recordings of one VM: what was recorded, what is being recorded, and the flight recorder that has
 * the last minutes at hand. A recording leads to its own page, its timeline.
 */
import { Button, Group } from '@mantine/core';
import { Download } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'wouter';
import { apiPrefix } from '../../../../../api/calls.ts';
import type { EndpointName } from '../../../../../api/endpoints.ts';
import type { RecordingView } from '../../../../../api/recording-endpoints.ts';
import type { VmView } from '../../../../../api/views.ts';
import { useCluster, useMissingRole } from '../../../../live/hooks.ts';
import { Action, Dimmed } from '../../../../parts/action.tsx';
import { CommandsDialog } from '../../../../parts/commands.tsx';
import { Empty } from '../../../../parts/empty.tsx';
import { Panel } from '../../../../parts/page.tsx';
import { Permitted } from '../../../../parts/permitted.tsx';
import { PlainTable } from '../../../../parts/plain-table.tsx';
import { Problem } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';
import { Time } from '../../../../parts/time.tsx';
import { bytes, duration, megabits, plural } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { TasksUnderWayPanel } from '../../tasks-under-way.tsx';
import { commandsOf } from './commands.ts';
import { KeepFlight, RewindVm, SetFlight, StartRecording } from './recording-forms.tsx';
import { awayText, recordingStatus } from './recording-status.ts';
import { isUnderWay, useRecordings } from './use-recordings.ts';
import '../vm-tabs.css';

const heads = ['Name', 'State', 'Host', 'Begun', 'Length', 'Size', 'Rate', ''];

export default function Recordings({ vm }: TabProps) {
  const { data, error } = useRecordings(vm);
  const start = <StartButton vm={vm} present={data?.find(isUnderWay)} />;
  return (
    <div className="u-columns">
      <TasksUnderWayPanel vm={vm.name} />
      {error !== null && <Problem error={error} />}
      {data?.length === 0 && (
        <div className="u-wide">
          <Empty title="No recordings yet" action={start}>
            A recording has every input of {vm.name} from its beginning on, so it replays to the
            bit: to look at any moment again, to debug it backwards, or to go back to it.
          </Empty>
        </div>
      )}
      {data !== undefined && data.length > 0 && (
        <Panel title="Recordings" className="u-wide u-recordings" aside={start}>
          <PlainTable label={`Recordings of ${vm.name}`} heads={heads}>
            {[...data].reverse().map((recording) => (
              <Recording key={recording.id} {...{ vm, recording }} />
            ))}
          </PlainTable>
        </Panel>
      )}
      <Flight vm={vm} />
    </div>
  );
}

function Recording({ vm, recording }: { readonly vm: VmView; readonly recording: RecordingView }) {
  const { name, host, hostConnected, startedAt, seconds, endText } = recording;
  const isNow = isUnderWay(recording);
  const { bytesPerSecond } = recording;
  return (
    <tr>
      <td>
        <Link href={`/vms/${vm.name}/recordings/${name}`}>{name}</Link>
      </td>
      <td>
        <Status {...recordingStatus(recording)} {...(endText !== null && { title: endText })} />
      </td>
      <td>
        <Link href={`/hosts/${host}`}>{host}</Link>
        {!hostConnected && <Status tone="warn" text="not responding" />}
      </td>
      <td>
        <Time at={startedAt} />
      </td>
      <td>{duration(seconds === null ? null : seconds * 1_000)}</td>
      <td>{bytes(recording.bytes)}</td>
      <td>{bytesPerSecond === null ? '–' : megabits((bytesPerSecond * 8) / 1e6)}</td>
      <td>
        {isNow ? (
          <div className="u-snapshot-actions">
            <Stop {...{ vm, recording }} />
          </div>
        ) : (
          <Actions {...{ vm, recording }} />
        )}
      </td>
    </tr>
  );
}

interface OfRecording {
  readonly vm: VmView;
  readonly recording: RecordingView;
}

export function Stop({ vm, recording: { name } }: OfRecording) {
  const { client } = useCluster();
  const params = { vm: vm.name, recording: name };
  return (
    <Permitted endpoint="stopRecording">
      <Action
        label="Stop"
        aria-label={`Stop ${name}`}
        endpoint="stopRecording"
        run={() => client.call('stopRecording', { params })}
      />
    </Permitted>
  );
}

function Actions({ vm, recording }: OfRecording) {
  const { client } = useCluster();
  const [asks, setAsks] = useState<'rewind' | 'commands' | undefined>();
  const { name, host } = recording;
  const away = awayText(recording);
  const params = { vm: vm.name, recording: name };
  return (
    <div className="u-snapshot-actions">
      <Permitted endpoint="rewindVm">
        <DownloadRecording {...{ vm, recording }} />
        <Dimmed why={away}>
          {(dim) => (
            <Button
              variant="default"
              aria-label={`Rewind to ${name}`}
              onClick={() => setAsks('rewind')}
              {...dim}
            >
              Rewind
            </Button>
          )}
        </Dimmed>
      </Permitted>
      <Button
        variant="default"
        aria-label={`Commands for ${name}`}
        onClick={() => setAsks('commands')}
      >
        Commands
      </Button>
      <Permitted endpoint="deleteRecording">
        <Action
          label="Delete"
          aria-label={`Delete ${name}`}
          endpoint="deleteRecording"
          unless={away}
          confirm={`Deletes the recording ${name} on ${host}, for good. ${vm.name} itself is not touched.`}
          run={() => client.call('deleteRecording', { params })}
          done={`The recording ${name} has been deleted.`}
        />
      </Permitted>
      {asks === 'rewind' && <RewindVm {...{ vm, recording }} onClose={() => setAsks(undefined)} />}
      {asks === 'commands' && (
        <CommandsDialog
          title={`${name}, in a terminal`}
          commands={commandsOf(vm.name, name)}
          onClose={() => setAsks(undefined)}
        />
      )}
    </div>
  );
}

/** By the browser itself: an archive may be of any size. */
export function DownloadRecording({ vm, recording }: OfRecording) {
  const { name } = recording;
  const parts = [vm.name, name].map(encodeURIComponent);
  const href = `${apiPrefix}/vms/${parts[0]}/recordings/${parts[1]}/archive`;
  const away = awayText(recording);
  const look = {
    ...{ variant: 'default', 'aria-label': `Download ${name}` },
    leftSection: <Download size={13} aria-hidden />,
  };
  if (away !== undefined) {
    return (
      <Dimmed why={away}>{(dim) => <Button {...{ ...look, ...dim }}>Download</Button>}</Dimmed>
    );
  }
  return (
    <Button component="a" href={href} download {...look}>
      Download
    </Button>
  );
}

/** A button that opens a form, dim with why for those who may not, or while it cannot be. */
export function Asking(props: {
  readonly label: string;
  readonly endpoint: EndpointName;
  readonly unless?: string | undefined;
  readonly variant?: string;
  readonly fullWidth?: boolean;
  readonly onClick: () => void;
}) {
  const { label, endpoint, unless, variant = 'default', fullWidth = false, onClick } = props;
  const missing = useMissingRole(endpoint);
  const why = missing !== undefined ? `For people of the role ${missing}.` : unless;
  return (
    <Dimmed why={why}>
      {(dim) => (
        <Button size="xs" {...{ variant, fullWidth, onClick }} {...dim}>
          {label}
        </Button>
      )}
    </Dimmed>
  );
}

const notOn = ({ state }: VmView): string | undefined =>
  state === 'poweredOn' ? undefined : 'It is recorded while it is powered on.';

function StartButton({
  vm,
  present,
}: {
  readonly vm: VmView;
  readonly present: RecordingView | undefined;
}) {
  const [isAsking, setAsking] = useState(false);
  const already = present && `It is being recorded already, as ${present.name}.`;
  return (
    <>
      <Asking
        label="Record"
        variant="filled"
        endpoint="startRecording"
        unless={already ?? notOn(vm)}
        onClick={() => setAsking(true)}
      />
      {isAsking && <StartRecording vm={vm} onClose={() => setAsking(false)} />}
    </>
  );
}

function byItself({ name, flight }: VmView): string {
  const seconds = flight?.rewindSeconds ?? null;
  if (seconds === null) return '';
  return ` Then ${name} is put back by itself, to ${seconds} s before: what it has done since is undone, acknowledged or not.`;
}

function Flight({ vm }: { readonly vm: VmView }) {
  const { client } = useCluster();
  const { name, flight } = vm;
  const [asks, setAsks] = useState<'set' | 'keep' | 'rewind' | undefined>();
  const close = () => setAsks(undefined);
  const params = { vm: name };
  return (
    <Panel title="Flight recorder" className="u-wide">
      <p className="u-note">
        {flight === null
          ? `Off. A flight recorder has the last minutes of ${name} at hand, and keeps them when its guest panics, fails, or is reset by the watchdog.`
          : `Holds the last ${plural(flight.minutes, 'minute')} of ${name}, ${bytes(flight.bytesMax)} at most, while it runs; kept when its guest panics, fails, or is reset by the watchdog.${byItself(vm)}`}
      </p>
      <Group gap={6}>
        <Asking
          label={flight === null ? 'Turn on' : 'Change'}
          endpoint="setFlight"
          onClick={() => setAsks('set')}
        />
        {flight !== null && (
          <>
            <Asking
              label="Keep what it holds"
              endpoint="keepFlight"
              unless={notOn(vm)}
              onClick={() => setAsks('keep')}
            />
            <Asking
              label="Rewind by it"
              endpoint="rewindVm"
              unless={notOn(vm)}
              onClick={() => setAsks('rewind')}
            />
            <Action
              label="Turn off"
              endpoint="setFlight"
              confirm={`What the flight recorder of ${name} holds is given up.`}
              run={() => client.call('setFlight', { params, body: { minutes: null } })}
            />
          </>
        )}
      </Group>
      {asks === 'set' && <SetFlight vm={vm} onClose={close} />}
      {asks === 'keep' && <KeepFlight vm={vm} onClose={close} />}
      {asks === 'rewind' && <RewindVm vm={vm} onClose={close} />}
    </Panel>
  );
}
