/**
 * What a recording's host tells of it: its timeline, by its log and then by its replay, and what its
 * guest said. Whoever may have it replayed and looks at it does so, if it is not too long.
 */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import type { RecordingView } from '../../../api/recording-endpoints.ts';
import type { TaskView } from '../../../api/tasks.ts';
import type {
  RecordingConsolePage,
  RecordingTimelineView,
} from '../../../api/timeline-endpoints.ts';
import { useCluster, useList, useMissingRole } from '../../live/hooks.ts';
import { SaidText } from './said-text.ts';

/** Some half a minute of a host's core; what is longer is replayed when somebody says so. */
const unaskedMax = 50e9;

interface Looked {
  readonly timeline: RecordingTimelineView | undefined;
  readonly error: unknown;
  /** Its last replay, as far as tasks tell. */
  readonly replay: TaskView | undefined;
  /** Nobody has had it replayed, and it is not done unasked. */
  readonly waitsToBeAsked: boolean;
}

export function useTimeline(vm: string, recording: RecordingView): Looked {
  const { client } = useCluster();
  const { id } = recording;
  const params = { vm, recording: id };
  const replay = useList('tasks').findLast(
    ({ kind, result }) => kind === 'replay-recording' && result?.['id'] === id,
  );
  const isReplayed = replay?.state === 'succeeded';
  const { data, error } = useQuery({
    queryKey: ['timeline', id, recording.hostConnected, isReplayed],
    queryFn: ({ signal }) => client.call('showRecordingTimeline', { params }, { signal }),
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
  const may = useMissingRole('replayRecording') === undefined;
  const isNew = data !== undefined && data.replayed === null && replay === undefined && may;
  const isShort = isNew && data.instructions.reduce((sum, each) => sum + each, 0) < unaskedMax;
  const asked = useRef<string>(undefined);
  useEffect(() => {
    if (!isShort || asked.current === id) return;
    asked.current = id;
    // Why it cannot be is told by its task, or by the timeline that stays without it.
    client.call('replayRecording', { params: { vm, recording: id } }).catch(() => {});
  }, [client, id, vm, isShort]);
  return { timeline: data, error, replay, waitsToBeAsked: isNew && !isShort };
}

/** All that it said, as it comes. @returns undefined: nothing of it yet, or not for this person */
export function useSaid(
  vm: string,
  id: string,
  isReplayed: boolean,
): { readonly said: SaidText | undefined; readonly length: number; readonly error: unknown } {
  const { client } = useCluster();
  const may = useMissingRole('readRecordingConsole') === undefined;
  const [state, setState] = useState<{ said: SaidText; length: number }>();
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (!isReplayed || !may) return;
    const ended = new AbortController();
    const said = new SaidText();
    const read = async () => {
      for (let from: number | null = 0; from !== null && !ended.signal.aborted; ) {
        const query = { from };
        const page: RecordingConsolePage = await client.call(
          'readRecordingConsole',
          { params: { vm, recording: id }, query },
          ended,
        );
        said.add(page);
        setState({ said, length: said.length });
        from = page.next;
      }
    };
    read().catch((failure) => {
      if (!ended.signal.aborted) setError(failure);
    });
    return () => ended.abort();
  }, [client, vm, id, isReplayed, may]);
  return { said: state?.said, length: state?.length ?? 0, error };
}
