/**
 * One VM over the last quarter of an hour: CPU, memory, network, disks, and what lockstep costs it;
 * with the moments at which another copy went live, in the pictures and in words.
 */
import { SegmentedControl } from '@mantine/core';
import { useMemo, useState } from 'react';
import { Empty } from '../../../../parts/empty.tsx';
import { Panel } from '../../../../parts/page.tsx';
import { Problem } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';
import { Time } from '../../../../parts/time.tsx';
import { bytes, duration, exactTime, megabits, percent } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { useVmEvents } from '../../use-vm-events.ts';
import { Chart, type ChartRow } from './chart.tsx';
import { marksOf } from './marks.ts';
import { useMeasurements } from './use-measurements.ts';
import './charts.css';

const powersOfTwo = Array.from({ length: 42 }, (_, power) => 2 ** power);
const perSecond = (value: number | null | undefined): string =>
  value == null ? '–' : `${bytes(value)}/s`;

const rows: readonly ChartRow[] = [
  {
    ...{ title: 'CPU', show: percent, topMin: 10 },
    lines: [
      { name: 'cpuPercent', label: 'Primary' },
      { name: 'shadowCpuPercent', label: 'Shadow' },
    ],
  },
  {
    ...{ title: 'Memory', show: bytes, topMin: 2 ** 20, steps: powersOfTwo },
    lines: [
      { name: 'memoryBytes', label: 'Primary' },
      { name: 'shadowMemoryBytes', label: 'Shadow' },
    ],
  },
  {
    ...{ title: 'Network', show: megabits, topMin: 0.1 },
    lines: [
      { name: 'receivedMbitPerSecond', label: 'Received' },
      { name: 'sentMbitPerSecond', label: 'Sent' },
    ],
  },
  {
    ...{ title: 'Disks', show: perSecond, topMin: 2 ** 12, steps: powersOfTwo },
    lines: [
      { name: 'readBytesPerSecond', label: 'Read' },
      { name: 'writtenBytesPerSecond', label: 'Written' },
    ],
  },
  {
    ...{ title: 'Log bandwidth', show: megabits, topMin: 0.1 },
    lines: [{ name: 'logMbitPerSecond', label: 'To the shadow' }],
  },
  {
    ...{ title: 'Lag and gate', show: duration, topMin: 1 },
    lines: [
      { name: 'lagMs', label: 'Lag' },
      { name: 'gateMs', label: 'Outputs held' },
    ],
  },
];

const spans = [
  { value: '60', label: '1 min' },
  { value: '300', label: '5 min' },
  { value: '900', label: '15 min' },
];

export default function Charts({ vm }: TabProps) {
  const { state, error } = useMeasurements(vm);
  const { events } = useVmEvents(vm.name);
  const [span, setSpan] = useState('300');
  const [index, setIndex] = useState<number | undefined>();
  const seconds = Number(span);
  const since = (state?.now ?? 0) - seconds * 1_000;
  const all = useMemo(() => marksOf(events, 0), [events]);
  const marks = all.filter(({ time }) => time >= since);
  if (error !== undefined) return <Problem error={error} />;
  if (state === undefined) return null;
  const { log } = state;
  if (log.times.length === 0) {
    return (
      <Empty title="Nothing has been measured yet">
        While {vm.name} is powered on, its CPU, memory, network, disks and log are measured every
        other second, and kept for a quarter of an hour.
      </Empty>
    );
  }
  const at = index === undefined ? undefined : log.times[index];
  return (
    <div className="u-charts">
      <div className="u-charts-tools">
        <SegmentedControl
          size="xs"
          aria-label="How far back"
          data={spans}
          value={span}
          onChange={setSpan}
        />
        <span role="status" className="u-dim">
          {at === undefined
            ? 'Values of now'
            : `Values of ${exactTime(new Date(at).toISOString())}`}
        </span>
      </div>
      <div className="u-chart-grid">
        {rows.map((row) => (
          <Chart
            key={row.title}
            {...{ row, state, marks, seconds, index }}
            onIndex={(next) => setIndex(next)}
          />
        ))}
      </div>
      <Panel title="Marked moments" className="u-marks">
        {marks.length === 0 ? (
          <p className="u-quiet">Both copies kept their roles in this time.</p>
        ) : (
          <ul>
            {[...marks].reverse().map(({ sequence, time, kind, text, cause, facts }) => (
              <li key={sequence}>
                <Status tone={kind === 'failover' ? 'bad' : 'warn'} text={text} />
                <span className="u-dim">
                  {[cause, ...facts].filter((each) => each !== undefined).join(', ')}
                </span>
                <Time at={new Date(time).toISOString()} />
              </li>
            ))}
          </ul>
        )}
      </Panel>
    </div>
  );
}
