/**
 * Where things are in the picture: hosts on an ellipse in the order of their names, so that one that
 * comes or goes moves the others a little and a failover moves none; arcs between them, bent to one
 * side, so that A for B and B for A are two. Pure; in units of the picture.
 */
export const width = 1000;

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Placed extends Point {
  /** From the middle, in radians; 0 is to the right. */
  readonly angle: number;
}

export interface Layout {
  readonly height: number;
  /** Hosts are boxes; where they are too many, dots with a name. */
  readonly isDense: boolean;
  readonly at: ReadonlyMap<string, Placed>;
}

export const box = { width: 168, height: 80 } as const;
const boxedMax = 10;
/** Room for names around the dots. */
const nameRoom = 118;

export function layoutOf(names: readonly string[]): Layout {
  const isDense = names.length > boxedMax;
  const height = isDense ? 640 : names.length <= 3 ? 330 : 500;
  const [marginX, marginY] = isDense
    ? [nameRoom + 130, nameRoom - 24]
    : [box.width / 2 + 16, box.height / 2 + 16];
  const middle = { x: width / 2, y: height / 2 };
  const radius = { x: middle.x - marginX, y: middle.y - marginY };
  const at = new Map<string, Placed>();
  names.forEach((name, index) => {
    // Two stand beside each other; more begin at the top.
    const start = names.length === 2 ? Math.PI : -Math.PI / 2;
    const angle = names.length === 1 ? 0 : start + (2 * Math.PI * index) / names.length;
    const part = names.length === 1 ? 0 : 1;
    at.set(name, {
      x: Math.round(middle.x + part * radius.x * Math.cos(angle)),
      y: Math.round(middle.y + part * radius.y * Math.sin(angle)),
      angle,
    });
  });
  return { height, isDense, at };
}

export interface Arc {
  readonly path: string;
  /** Its middle, for words. */
  readonly middle: Point;
}

/** From the edge of one host to the edge of another. */
export function arcOf(from: Placed, to: Placed, { height, isDense }: Layout): Arc {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  // To the right of its way, and in the dense picture towards the middle, too.
  const bend = isDense ? 0.1 : 0.16;
  const pull = isDense ? 0.55 : 0;
  const between = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  const control = {
    x: between.x - dy * bend + (width / 2 - between.x) * pull,
    y: between.y + dx * bend + (height / 2 - between.y) * pull,
  };
  const begin = isDense ? towards(from, control, 9) : edge(from, control);
  const end = isDense ? towards(to, control, 13) : edge(to, control);
  // In the middle of a quadratic curve.
  const middle = {
    x: (begin.x + 2 * control.x + end.x) / 4,
    y: (begin.y + 2 * control.y + end.y) / 4,
  };
  const path = `M${text(begin)} Q${text(control)} ${text(end)}`;
  return { path, middle };
}

function towards(from: Point, to: Point, by: number): Point {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  return { x: from.x + (dx / length) * by, y: from.y + (dy / length) * by };
}

/** Where the line from the middle of a box to a point leaves it, and a little farther. */
function edge(from: Point, to: Point): Point {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const gap = 8;
  const parts = [
    (box.width / 2 + gap) / Math.abs(dx || 1e-6),
    (box.height / 2 + gap) / Math.abs(dy || 1e-6),
  ];
  const part = Math.min(...parts);
  return { x: from.x + dx * part, y: from.y + dy * part };
}

const round = (value: number): number => Math.round(value * 10) / 10;
const text = ({ x, y }: Point): string => `${round(x)} ${round(y)}`;
