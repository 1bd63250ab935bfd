/**
 * What happened in a recording, over its guest's time: one strip (uPlot) for each kind, all with the
 * same time below them, a line at the place that is looked at, and a mark for each event. Pictures to
 * screen readers, told by their sums; by a pointer they lead to a place, by keys the slider does.
 */
import { useComputedColorScheme } from '@mantine/core';
import { type CSSProperties, memo, type PointerEvent, useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { RecordingTimelineView } from '../../../api/timeline-endpoints.ts';
import { axisLook, lineLook } from '../../parts/plot-look.ts';
import { bytes, count, megabits } from '../../parts/units.ts';
import { clockText } from './places.ts';

export interface StripLine {
  readonly label: string;
  /** For each bucket, a second. */
  readonly values: readonly number[];
  /** All of it, in words. */
  readonly all: string;
}

export interface Strip {
  readonly title: string;
  readonly lines: readonly StripLine[];
  readonly show: (value: number | null | undefined) => string;
  /** The least that the axis reaches to. */
  readonly topMin: number;
  readonly steps?: readonly number[];
}

const heightPx = 80;
const timeAxisPx = 22;
/** Half of a number at the axis. */
const bottomPx = 7;
/** As in recording.css. */
const axisPx = 74;
const rightPx = 10;
const powersOfTwo = Array.from({ length: 42 }, (_, power) => 2 ** power);
const sumOf = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0);
const perSecond =
  (show: (value: number | null | undefined) => string) => (value: number | null | undefined) =>
    value == null ? '–' : `${show(value)}/s`;
const instructions = (value: number | null | undefined): string =>
  count(value == null ? value : Math.round(value));

/** Of disks only where there are some. */
export function stripsOf(timeline: RecordingTimelineView, hasDisks: boolean): readonly Strip[] {
  const { bucketSeconds, replayed } = timeline;
  const line = (label: string, values: readonly number[], show = bytes): StripLine => ({
    ...{ label, all: show(sumOf(values)) },
    values: values.map((value) => value / bucketSeconds),
  });
  const mbit = ({ values, ...rest }: StripLine): StripLine => ({
    ...{ ...rest, values: values.map((value) => (value * 8) / 1e6) },
  });
  const emitted = (label: string, values: readonly number[] | undefined): StripLine[] =>
    values === undefined ? [] : [line(label, values)];
  const { received, read, typed } = timeline;
  const rates = { show: perSecond(bytes), steps: powersOfTwo };
  return [
    {
      ...{ title: 'CPU', show: perSecond(instructions), topMin: 1e6 },
      lines: [line('Instructions', timeline.instructions, instructions)],
    },
    {
      ...{ title: 'Network', show: megabits, topMin: 0.01 },
      lines: [line('Received', received), ...emitted('Sent', replayed?.sent)].map(mbit),
    },
    ...(hasDisks || sumOf(read) > 0
      ? [
          {
            ...{ title: 'Disks', ...rates, topMin: 4_096 },
            lines: [line('Read', read), ...emitted('Written', replayed?.written)],
          },
        ]
      : []),
    {
      ...{ title: 'Console', ...rates, topMin: 64 },
      lines: [...emitted('Shown', replayed?.shown), line('Typed', typed)],
    },
  ];
}

/** @param go to a place. @param at the place that is looked at, seconds of the guest's clock */
export function Strips(props: {
  readonly timeline: RecordingTimelineView;
  readonly strips: readonly Strip[];
  readonly at: number;
  readonly go: (seconds: number) => void;
}) {
  const { timeline, strips, at, go } = props;
  const { from, to, bucketSeconds, events } = timeline;
  const frame = useRef<HTMLDivElement>(null);
  const length = to.seconds - from.seconds;
  const style = (seconds: number) =>
    ({ '--u-at': length > 0 ? (seconds - from.seconds) / length : 0 }) as CSSProperties;
  const point = (event: PointerEvent) => {
    if (event.buttons !== 1) return;
    const { left, width } = frame.current!.getBoundingClientRect();
    const part = (event.clientX - left - axisPx) / (width - axisPx - rightPx);
    go(from.seconds + Math.min(1, Math.max(0, part)) * length);
  };
  const bucket = Math.min(
    timeline.instructions.length - 1,
    Math.floor((at - from.seconds) / bucketSeconds),
  );
  return (
    <div
      className="u-strips"
      ref={frame}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        point(event);
      }}
      onPointerMove={point}
    >
      {strips.map(({ title, lines, show }, index) => (
        <div key={title} className="u-strip">
          <div className="u-panel-head">
            <h3>{title}</h3>
            <ul className="u-chart-lines">
              {lines.map(({ label, values }, line) => (
                <li key={label} data-line={line + 1}>
                  {label} <strong>{show(values[bucket])}</strong>
                </li>
              ))}
            </ul>
          </div>
          <StripPlot
            {...{ timeline }}
            strip={strips[index]!}
            isLast={index === strips.length - 1}
          />
        </div>
      ))}
      <div className="u-strips-over" aria-hidden>
        {events.map(({ sequence, seconds }) => (
          <span key={sequence} className="u-strips-mark" style={style(seconds)} />
        ))}
        <span className="u-strips-place" style={style(at)} />
      </div>
    </div>
  );
}

interface StripPlotProps {
  readonly timeline: RecordingTimelineView;
  readonly strip: Strip;
  readonly isLast: boolean;
}

/** Drawn once: the line at the place is not part of it. */
const StripPlot = memo(function StripPlot({ timeline, strip, isLast }: StripPlotProps) {
  const frame = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme();
  const { from, to, bucketSeconds } = timeline;
  const height = heightPx + (isLast ? timeAxisPx : 0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: its colours are read anew
  useEffect(() => {
    const element = frame.current!;
    const { lines } = strip;
    const times = lines[0]!.values.map((_, index) => from.seconds + index * bucketSeconds);
    // Each value lasts to the next one, the last one to the end.
    const columns = lines.map(({ values }) => [...values, values.at(-1) ?? 0]);
    const made = new uPlot(
      {
        ...optionsOf(strip, element, isLast, from.seconds, to.seconds),
        height,
        width: element.clientWidth,
      },
      [[...times, to.seconds], ...columns],
      element,
    );
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      made.destroy();
    };
  }, [strip, timeline, isLast, scheme]);

  const told = strip.lines.map(({ label, values, all }) => {
    return `${label} ${all} in all, at most ${strip.show(Math.max(...values))}`;
  });
  return (
    <div
      ref={frame}
      className="u-strip-frame"
      data-last={isLast}
      role="img"
      aria-label={`${strip.title}: ${told.join('; ')}`}
    />
  );
});

function optionsOf(
  { lines, topMin, show, steps }: Strip,
  at: HTMLElement,
  isLast: boolean,
  from: number,
  to: number,
): Omit<uPlot.Options, 'width' | 'height'> {
  const axis = axisLook(at);
  const times = {
    ...{ space: 70, size: timeAxisPx },
    values: (_: uPlot, ticks: number[]) => ticks.map((tick) => clockText(tick - from).slice(0, -2)),
    splits: (_: uPlot, __: number, min: number, max: number, step: number) => {
      const places: number[] = [];
      for (let place = min; place <= max + step / 1e6; place += step) places.push(place);
      return places;
    },
  };
  return {
    legend: { show: false },
    padding: [4, rightPx, isLast ? 0 : bottomPx, 0],
    cursor: { show: false },
    scales: {
      x: { time: false, range: [from, to] },
      y: { range: (_, __, top) => [0, Math.max(topMin, (top ?? 0) * 1.08)] },
    },
    axes: [
      isLast ? { ...axis, ...times } : { ...axis, ...times, size: 0, values: () => [] },
      {
        ...axis,
        ...{ space: 26, size: axisPx, gap: 6 },
        ...(steps && { incrs: [...steps] }),
        values: (_, ticks) => ticks.map((tick) => show(tick)),
      },
    ],
    series: [
      {},
      ...lines.map((_, index) => {
        const paths = uPlot.paths.stepped?.({ align: 1 });
        return { ...lineLook(index, at), ...(paths && { paths }) };
      }),
    ],
  };
}
