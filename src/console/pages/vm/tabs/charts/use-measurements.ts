/** The measurements of one VM: those that the center has, then one with every beat of the live view. */
import { useEffect, useState } from 'react';
import type { VmView } from '../../../../../api/views.ts';
import { useCenter, useCluster } from '../../../../live/hooks.ts';
import { MeasurementLog, measurementOf } from './measurement-log.ts';

export interface MeasurementState {
  readonly log: MeasurementLog;
  /** Grows with each measurement, for what is drawn from the log. */
  readonly version: number;
  /** The center's clock, Unix milliseconds. */
  readonly now: number;
}

export function useMeasurements({ id, name }: Pick<VmView, 'id' | 'name'>): {
  readonly state: MeasurementState | undefined;
  readonly error: unknown;
} {
  const { client, store } = useCluster();
  // Another object after every reconnection: what was missed is read again.
  const center = useCenter();
  const [state, setState] = useState<MeasurementState>();
  const [error, setError] = useState<unknown>();
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new connection asks again
  useEffect(() => {
    const ended = new AbortController();
    let stop = (): void => {};
    const follow = (log: MeasurementLog) => {
      const beat = () => {
        const measurement = measurementOf(store.vmFigures(id));
        if (measurement !== undefined) log.add(store.unixMs, measurement);
        // Time goes on for a VM that is off, too.
        setState((last) => ({ log, version: (last?.version ?? 0) + 1, now: store.unixMs }));
      };
      stop = store.watch('beat', beat);
      beat();
    };
    client.call('listMeasurements', { params: { vm: name }, query: {} }, ended).then(
      (kept) => {
        setError(undefined);
        if (!ended.signal.aborted) follow(new MeasurementLog(kept));
      },
      (failure) => {
        if (!ended.signal.aborted) setError(failure);
      },
    );
    return () => {
      ended.abort();
      stop();
    };
  }, [client, store, id, name, center]);
  return { state, error };
}
