/**
 * One chart over time (uPlot): up to two lines, what they are in words above it, marks where another
 * copy went live. A picture to screen readers, with its values now and its greatest ones told; the
 * arrow keys move the place at which all charts tell their values.
 */
import { useComputedColorScheme } from '@mantine/core';
import { type KeyboardEvent, useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Measured } from '../../../../../api/measurements.ts';
import { Panel } from '../../../../parts/page.tsx';
import { axisLook, colour, lineLook } from '../../../../parts/plot-look.ts';
import type { Mark } from './marks.ts';
import type { MeasurementState } from './use-measurements.ts';

export interface ChartRow {
  readonly title: string;
  readonly lines: readonly { readonly name: Measured; readonly label: string }[];
  readonly show: (value: number | null | undefined) => string;
  /** The least that the axis reaches to, so that what hardly moves does not fill it. */
  readonly topMin: number;
  /** Steps of the axis where those of ten are none for this unit. */
  readonly steps?: readonly number[];
}

export interface ChartProps {
  readonly row: ChartRow;
  readonly state: MeasurementState;
  readonly marks: readonly Mark[];
  /** How far back it shows. */
  readonly seconds: number;
  /** Of the moment whose values are told; undefined: the last one. */
  readonly index: number | undefined;
  readonly onIndex: (index: number | undefined) => void;
}

const heightPx = 150;
const axisWidthPx = 74;
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

export function Chart({ row, state, marks, seconds, index, onIndex }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const scheme = useComputedColorScheme();
  const latest = useRef({ marks, onIndex });
  latest.current = { marks, onIndex };

  // biome-ignore lint/correctness/useExhaustiveDependencies: its colours are read anew
  useEffect(() => {
    const element = frame.current!;
    const options = optionsOf(row, element, latest);
    const made = new uPlot({ ...options, width: element.clientWidth }, [[]], element);
    plot.current = made;
    const resize = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: heightPx });
    });
    resize.observe(element);
    return () => {
      resize.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [row, scheme]);

  const { log, now } = state;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the log is one object that grows
  useEffect(() => {
    const made = plot.current;
    if (made === undefined) return;
    const times = log.times.map((time) => time / 1_000);
    made.setData([times, ...row.lines.map(({ name }) => [...log.column(name)])], false);
    made.setScale('x', { min: now / 1_000 - seconds, max: now / 1_000 });
  }, [state, seconds, marks, row, scheme]);

  const values = (name: Measured) => {
    const column = log.column(name);
    const from = log.times.findIndex((time) => time >= now - seconds * 1_000);
    const seen = column.slice(from).filter((value) => value !== null);
    return { at: column[index ?? column.length - 1], top: seen.length ? Math.max(...seen) : null };
  };
  const told = row.lines.map(({ name, label }) => {
    const { at, top } = values(name);
    return `${label} ${row.show(at)}, at most ${row.show(top)}`;
  });
  return (
    <Panel
      title={row.title}
      className="u-chart"
      aside={
        <ul className="u-chart-lines">
          {row.lines.map(({ name, label }, line) => (
            <li key={name} data-line={line + 1}>
              {label} <strong>{row.show(values(name).at)}</strong>
            </li>
          ))}
        </ul>
      }
    >
      <div
        ref={frame}
        className="u-chart-frame"
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: its arrow keys move the place that is told
        tabIndex={0}
        aria-label={`${row.title}: ${told.join('; ')}`}
        onKeyDown={(event) => move(event, log.times.length, index, onIndex)}
        onBlur={() => onIndex(undefined)}
      />
    </Panel>
  );
}

function move(
  event: KeyboardEvent,
  length: number,
  index: number | undefined,
  onIndex: (index: number | undefined) => void,
): void {
  const at = index ?? length - 1;
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: length - 1 }[event.key];
  if (event.key === 'Escape') return onIndex(undefined);
  if (to === undefined || length === 0) return;
  event.preventDefault();
  onIndex(Math.max(0, Math.min(length - 1, to)));
}

type Latest = { readonly current: Pick<ChartProps, 'marks' | 'onIndex'> };

function optionsOf(row: ChartRow, at: HTMLElement, latest: Latest): Omit<uPlot.Options, 'width'> {
  const axis = axisLook(at);
  return {
    height: heightPx,
    legend: { show: false },
    padding: [8, 10, 0, 0],
    cursor: {
      sync: { key: 'u-vm-charts' },
      drag: { x: false, y: false, setScale: false },
      points: { size: 7 },
      y: false,
    },
    scales: {
      x: { time: true },
      y: { range: (_, __, top) => [0, Math.max(row.topMin, (top ?? 0) * 1.08)] },
    },
    axes: [
      { ...axis, space: 70, size: 26, values: (_, ticks) => ticks.map(timeOf) },
      {
        ...axis,
        ...{ space: 32, size: axisWidthPx, gap: 6 },
        ...(row.steps && { incrs: [...row.steps] }),
        values: (_, ticks) => ticks.map((tick) => row.show(tick)),
      },
    ],
    series: [{}, ...row.lines.map((_, index) => lineLook(index, at))],
    hooks: {
      draw: [(plot) => drawMarks(plot, latest.current.marks, at)],
      setCursor: [
        ({ cursor: { idx, event } }) => {
          // Those that follow by the sync key have no event of their own.
          if (event !== undefined || idx == null) latest.current.onIndex(idx ?? undefined);
        },
      ],
    },
  };
}

const timeOf = (seconds: number): string => clock.format(new Date(seconds * 1_000));

/** A line from top to bottom with a head: full for another copy that went live, broken for a loss. */
function drawMarks(plot: uPlot, marks: readonly Mark[], at: HTMLElement): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  for (const { time, kind } of marks) {
    const x = plot.valToPos(time / 1_000, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const tint = colour(kind === 'failover' ? '--u-bad' : '--u-warn', at);
    ctx.save();
    ctx.strokeStyle = tint;
    ctx.fillStyle = tint;
    ctx.lineWidth = 1.5 * ratio;
    // What was drawn before may have left its dashes.
    ctx.setLineDash(kind === 'lost' ? [4 * ratio, 3 * ratio] : []);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x - 4 * ratio, bbox.top - 1);
    ctx.lineTo(x + 4 * ratio, bbox.top - 1);
    ctx.lineTo(x, bbox.top + 6 * ratio);
    ctx.fill();
    ctx.restore();
  }
}
