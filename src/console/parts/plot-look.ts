/** What charts have in common: colours of the page, and axes in its manner. */
import type uPlot from 'uplot';
import './plot-look.css';

/** uPlot draws on a canvas, which knows no custom properties. */
export function colour(name: string, at: HTMLElement): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  at.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

export const transparent = (of: string): string =>
  of.replace('rgb(', 'rgba(').replace(')', ', 0.1)');

/** @param at where it is drawn */
export function axisLook(at: HTMLElement): uPlot.Axis {
  return {
    stroke: colour('--u-dim', at),
    font: '11px "Inter Variable", sans-serif',
    grid: { stroke: colour('--u-line', at), width: 1 },
    ticks: { show: false },
  };
}

const lineColours = ['--u-line-1', '--u-line-2'] as const;

/** The first line is full, with its ground; the second one is broken: told apart without colours. */
export function lineLook(index: number, at: HTMLElement): uPlot.Series {
  const stroke = colour(lineColours[index]!, at);
  return {
    ...{ stroke, width: 1.5, points: { show: false } },
    ...(index === 0 ? { fill: transparent(stroke) } : { dash: [5, 3] }),
  };
}
