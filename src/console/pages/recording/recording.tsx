/**
 * One recording: its timeline, and at any place of it the screen as it was; to be played, gone back
 * to, fetched, debugged, or gone live from.
 */
import { Button, Group, Progress, SegmentedControl, Slider } from '@mantine/core';
import { Pause, Play } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Link } from 'wouter';
import { UmbraError } from '../../../api/problems.ts';
import type { RecordingView } from '../../../api/recording-endpoints.ts';
import type { TaskView } from '../../../api/tasks.ts';
import type { RecordingTimelineView } from '../../../api/timeline-endpoints.ts';
import type { VmView } from '../../../api/views.ts';
import { useCluster, useMissingRole, useVm } from '../../live/hooks.ts';
import { Action } from '../../parts/action.tsx';
import { CopyCommand } from '../../parts/commands.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Facts, Page, Panel } from '../../parts/page.tsx';
import { Problem, problemOf } from '../../parts/problem.tsx';
import { Status } from '../../parts/status.tsx';
import { TextButton } from '../../parts/text-button.tsx';
import { Time } from '../../parts/time.tsx';
import { bytes, duration, exactTime } from '../../parts/units.ts';
import type { PageParams } from '../define-page.ts';
import { commandsOf, placeOf } from '../vm/tabs/recordings/commands.ts';
import { GoLive, RewindVm } from '../vm/tabs/recordings/recording-forms.tsx';
import { awayText, recordingStatus } from '../vm/tabs/recordings/recording-status.ts';
import { Asking, DownloadRecording, Stop } from '../vm/tabs/recordings/recordings.tsx';
import { isUnderWay, useRecordings } from '../vm/tabs/recordings/use-recordings.ts';
import { clockText, countAt } from './places.ts';
import { Screen } from './screen.tsx';
import { Strips, stripsOf } from './strips.tsx';
import { useSaid, useTimeline } from './use-looked-at.ts';
import { type Playing, usePlaying } from './use-playing.ts';
import './recording.css';

const whole = new Intl.NumberFormat('en');

export default function Recording({ params }: PageParams) {
  const [vmName, name] = [params['vm'] ?? '', params['recording'] ?? ''];
  const vm = useVm(vmName);
  const above = (
    <nav aria-label="Breadcrumb" className="u-crumbs">
      <Link href="/vms">Virtual machines</Link>
      {vm !== undefined && (
        <>
          {' / '}
          <Link href={`/vms/${vmName}`}>{vmName}</Link>
          {' / '}
          <Link href={`/vms/${vmName}/recordings`}>Recordings</Link>
        </>
      )}
    </nav>
  );
  if (vm === undefined) {
    return (
      <Page title={name} above={above}>
        <Empty title={`There is no VM ${vmName}`}>Its recordings went with it.</Empty>
      </Page>
    );
  }
  return <OfVm {...{ vm, name, above }} />;
}

function OfVm(props: {
  readonly vm: VmView;
  readonly name: string;
  readonly above: React.ReactNode;
}) {
  const { vm, name, above } = props;
  const { data, error } = useRecordings(vm);
  const recording = data?.find((one) => one.name === name || one.id === name);
  if (recording === undefined) {
    return (
      <Page title={name} above={above}>
        {error !== null && <Problem error={error} />}
        {data !== undefined && (
          <Empty
            title={`${vm.name} has no recording ${name}`}
            action={<Link href={`/vms/${vm.name}/recordings`}>Those that there are</Link>}
          >
            It may have been deleted.
          </Empty>
        )}
      </Page>
    );
  }
  return (
    <Page
      title={recording.name}
      above={above}
      state={<Status {...recordingStatus(recording)} />}
      actions={!isUnderWay(recording) && <DownloadRecording {...{ vm, recording }} />}
    >
      {isUnderWay(recording) ? (
        <Empty title="It is under way" action={<Stop {...{ vm, recording }} />}>
          {recording.seconds === null
            ? 'It has just begun'
            : `${duration(recording.seconds * 1_000)} so far`}
          , {bytes(recording.bytes)} on {recording.host}. Its timeline is there when it has ended.
        </Empty>
      ) : (
        <Ended key={recording.id} {...{ vm, recording }} />
      )}
    </Page>
  );
}

interface OfRecording {
  readonly vm: VmView;
  readonly recording: RecordingView;
}

function Ended({ vm, recording }: OfRecording) {
  const looked = useTimeline(vm.name, recording);
  if (looked.timeline !== undefined) {
    return <Looked {...{ vm, recording, ...looked }} timeline={looked.timeline} />;
  }
  if (looked.error === null) {
    return (
      <Panel title="Timeline">
        <Status tone="busy" text={`${recording.host} reads its log …`} />
      </Panel>
    );
  }
  return (
    <div className="u-stack">
      <Problem error={looked.error} />
      <p className="u-dim">
        Problem code: <code>{problemOf(looked.error).code}</code>
      </p>
    </div>
  );
}

interface OfTimeline extends OfRecording {
  readonly timeline: RecordingTimelineView;
}

function Looked({
  vm,
  recording,
  timeline,
  replay,
  waitsToBeAsked,
}: OfTimeline & { readonly replay: TaskView | undefined; readonly waitsToBeAsked: boolean }) {
  const playing = usePlaying(timeline.from.seconds, timeline.to.seconds);
  const strips = useMemo(
    () => stripsOf(timeline, vm.disks.length > 0),
    [timeline, vm.disks.length],
  );
  return (
    <>
      <div className="u-recording">
        <SaidScreen {...{ vm, recording, timeline, replay, waitsToBeAsked }} at={playing.at} />
        <Here {...{ vm, recording, timeline }} at={playing.at} />
      </div>
      <Panel title="Timeline" className="u-timeline">
        <Player {...{ timeline, playing }} />
        <Strips {...{ timeline, strips }} at={playing.at} go={playing.go} />
      </Panel>
      <Meanwhile {...{ timeline }} go={playing.go} />
    </>
  );
}

// --- the screen ---------------------------------------------------------------------------------

function SaidScreen({
  vm,
  recording,
  timeline,
  replay,
  waitsToBeAsked,
  at,
}: OfTimeline & {
  readonly replay: TaskView | undefined;
  readonly waitsToBeAsked: boolean;
  readonly at: number;
}) {
  const { client } = useCluster();
  const { replayed } = timeline;
  const { said, length, error } = useSaid(vm.name, recording.id, replayed !== null);
  const missing = useMissingRole('readRecordingConsole');
  const shown = said === undefined ? 0 : Math.min(length, said.lengthAt(at));
  const params = { vm: vm.name, recording: recording.id };
  return (
    <Panel title="The screen as it was" className="u-screen">
      {said !== undefined && <Screen {...{ said }} length={shown} />}
      {said === undefined && (
        <div className="u-screen-none">
          {missing !== undefined && <p>What the guest said is for people of the role {missing}.</p>}
          {error !== undefined && <Problem error={error} />}
          {replay?.error != null && replayed === null && (
            <Problem
              error={new UmbraError(replay.error.code, replay.error.detail, replay.error.remedy)}
            />
          )}
          {replay?.error == null && missing === undefined && !waitsToBeAsked && (
            <Replaying replay={replay} host={recording.host} />
          )}
          {(waitsToBeAsked || (replay?.error != null && replayed === null)) && (
            <Action
              label="Replay it for its screen"
              endpoint="replayRecording"
              unless={awayText(recording)}
              run={() => client.call('replayRecording', { params })}
            />
          )}
        </div>
      )}
      {replayed?.isConsoleCut && (
        <p className="u-note">
          Its guest said more than {bytes(replayed.consoleBytes)}; what came behind that is not
          shown.
        </p>
      )}
    </Panel>
  );
}

function Replaying({
  replay,
  host,
}: {
  readonly replay: TaskView | undefined;
  readonly host: string;
}) {
  return (
    <>
      <Status tone="busy" text={`${host} replays it once, for what its guest said …`} />
      <Progress value={100 * (replay?.progress ?? 0)} aria-label="Replayed" w={260} />
    </>
  );
}

// --- the place that is looked at ----------------------------------------------------------------

function Here({ vm, recording, timeline, at }: OfTimeline & { readonly at: number }) {
  const [asks, setAsks] = useState<'rewind' | 'live' | undefined>();
  const { from, epochMs, cutBytes } = timeline;
  const date = new Date(epochMs + at * 1_000);
  const place = placeOf(at);
  const [replay, debug, live] = commandsOf(vm.name, recording.name, place);
  const words = `${clockText(at - from.seconds)} into ${recording.name}`;
  const close = () => setAsks(undefined);
  return (
    <Panel title="Here" className="u-here">
      <Facts
        facts={[
          ['Into it', clockText(at - from.seconds)],
          ["Guest's clock", exactTime(date.toISOString())],
          ['Place', <code key="place">{place}</code>],
          ['Count', whole.format(countAt(timeline, at))],
          [
            'Recorded on',
            <Link key="host" href={`/hosts/${recording.host}`}>
              {recording.host}
            </Link>,
          ],
          ['Begun', <Time key="begun" at={recording.startedAt} />],
          ['Size', bytes(recording.bytes)],
          cutBytes > 0 && ['Torn at its end', bytes(cutBytes)],
        ]}
      />
      <div className="u-here-acts">
        <Asking
          label="Rewind the VM to here"
          endpoint="rewindVm"
          unless={awayText(recording)}
          fullWidth
          onClick={() => setAsks('rewind')}
        />
        <Asking
          label="Go live here as a new VM"
          endpoint="goLive"
          unless={awayText(recording)}
          fullWidth
          onClick={() => setAsks('live')}
        />
        <CopyCommand label="Copy the replay command" {...replay!} fullWidth />
        <CopyCommand label="Copy the debug command" {...debug!} fullWidth />
      </div>
      {asks === 'rewind' && (
        <RewindVm {...{ vm, recording }} place={{ to: place, words }} onClose={close} />
      )}
      {asks === 'live' && (
        <GoLive
          {...{ vm, recording }}
          place={{ to: place, words }}
          command={live!}
          onClose={close}
        />
      )}
    </Panel>
  );
}

// --- the timeline -------------------------------------------------------------------------------

const speeds = [1, 10, 100].map((speed) => ({ value: String(speed), label: `${speed}×` }));

function Player({
  timeline,
  playing,
}: {
  readonly timeline: RecordingTimelineView;
  readonly playing: Playing;
}) {
  const { from, to } = timeline;
  const { at, isPlaying, speed, go, toggle, setSpeed } = playing;
  const lengthMs = Math.max(1, Math.round((to.seconds - from.seconds) * 1_000));
  const intoMs = Math.min(lengthMs, Math.round((at - from.seconds) * 1_000));
  const words = (ms: number) =>
    `${clockText(ms / 1_000)}, count ${whole.format(countAt(timeline, from.seconds + ms / 1_000))}`;
  return (
    <div className="u-player">
      <Group gap={10}>
        <Button
          w={92}
          leftSection={isPlaying ? <Pause size={13} aria-hidden /> : <Play size={13} aria-hidden />}
          onClick={toggle}
        >
          {isPlaying ? 'Pause' : 'Play'}
        </Button>
        <SegmentedControl
          size="xs"
          aria-label="How fast"
          transitionDuration={0}
          data={speeds}
          value={String(speed)}
          onChange={(value) => setSpeed(Number(value))}
        />
        <span className="u-player-place">
          <strong>{clockText(intoMs / 1_000)}</strong> of {clockText(lengthMs / 1_000)}
          <span className="u-dim"> count {whole.format(countAt(timeline, at))}</span>
        </span>
      </Group>
      <Slider
        className="u-scrub"
        size={4}
        thumbSize={16}
        min={0}
        max={lengthMs}
        step={Math.max(1, Math.round(lengthMs / 1_000))}
        value={intoMs}
        onChange={(ms) => go(from.seconds + ms / 1_000)}
        label={(ms) => clockText(ms / 1_000)}
        thumbLabel="Place in the recording"
        thumbValueText={words}
      />
    </div>
  );
}

/** What the cluster did with it: each leads to its moment. */
function Meanwhile({
  timeline: { events, from },
  go,
}: {
  readonly timeline: RecordingTimelineView;
  readonly go: (seconds: number) => void;
}) {
  return (
    <Panel title="Meanwhile in the cluster">
      {events.length === 0 ? (
        <p className="u-quiet">Nothing was noted of the VM in this time.</p>
      ) : (
        <ul className="u-meanwhile">
          {events.map(({ sequence, seconds, text }) => (
            <li key={sequence}>
              <span className="u-dim">{clockText(seconds - from.seconds)}</span>
              <TextButton text={text} onClick={() => go(seconds)} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
