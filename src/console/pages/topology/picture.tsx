/**
 * The picture of who protects whom. Elements keep their keys: what changes changes in place, what
 * is new comes in. The table below it says the same in words.
 */
import { useLocation } from 'wouter';
import { hostStatus } from '../../parts/status.tsx';
import { bytes, plural } from '../../parts/units.ts';
import { arcOf, box, type Layout, type Placed } from './layout.ts';
import { type Node, nameSome, type Pair, type Topology } from './pairs.ts';

interface PictureProps {
  readonly topology: Topology;
  readonly layout: Layout;
  /** A host or a pair that is pointed at: the rest steps back. */
  readonly pointed: string | undefined;
  readonly onPoint: (id: string | undefined) => void;
}

export function Picture({ topology: { nodes, pairs }, layout, pointed, onPoint }: PictureProps) {
  const { height, at, isDense } = layout;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is no group of a picture
    <svg
      className="u-topology"
      viewBox={`0 0 1000 ${height}`}
      role="group"
      aria-label="Hosts, and who protects whom; the table says the same"
      data-pointed={pointed !== undefined}
    >
      <defs>
        {['running', 'starting'].map((state) => (
          <marker
            key={state}
            id={`u-arrow-${state}`}
            className="u-arrow"
            data-state={state}
            viewBox="0 0 8 8"
            refX="6"
            refY="4"
            markerWidth="11"
            markerHeight="11"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path d="M0 0.5 L8 4 L0 7.5 Z" />
          </marker>
        ))}
      </defs>
      <g aria-hidden>
        {pairs.map((pair) => (
          <PairArc
            key={pair.id}
            pair={pair}
            layout={layout}
            isPointed={isOf(pair, pointed)}
            onPoint={onPoint}
          />
        ))}
      </g>
      {nodes.map((node) => {
        const { name } = node.host;
        const isNear =
          pointed === undefined ||
          pointed === name ||
          pairs.some((pair) => isOf(pair, pointed) && [pair.primary, pair.shadow].includes(name));
        const Shape = isDense ? Dot : Box;
        return (
          <HostLink key={name} node={node} isNear={isNear} onPoint={onPoint}>
            <Shape node={node} place={at.get(name)!} />
          </HostLink>
        );
      })}
    </svg>
  );
}

const isOf = ({ id, primary, shadow }: Pair, pointed: string | undefined): boolean =>
  pointed !== undefined && [id, primary, shadow].includes(pointed);

function PairArc({
  pair,
  layout,
  isPointed,
  onPoint,
}: {
  readonly pair: Pair;
  readonly layout: Layout;
  readonly isPointed: boolean;
  readonly onPoint: (id: string | undefined) => void;
}) {
  const { id, primary, shadow, running, starting } = pair;
  const { path, middle } = arcOf(layout.at.get(primary)!, layout.at.get(shadow)!, layout);
  const number = running.length + starting.length;
  const state = starting.length > 0 ? 'starting' : 'running';
  const label = number === 1 ? [...running, ...starting][0]! : plural(number, 'VM');
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: for the eye only; the table says the same
    <g
      className="u-arc"
      data-state={state}
      data-pointed={isPointed}
      onMouseEnter={() => onPoint(id)}
      onMouseLeave={() => onPoint(undefined)}
    >
      <path className="u-arc-hit" d={path} />
      <path
        className="u-arc-line"
        d={path}
        strokeWidth={1.4 + Math.log2(number) * (layout.isDense ? 0.5 : 0.9)}
        markerEnd={`url(#u-arrow-${state})`}
      />
      {(!layout.isDense || isPointed) && (
        <text x={middle.x} y={middle.y} dy="0.35em">
          {shortened(label, 18)}
        </text>
      )}
      <title>{`${shadow} protects ${nameSome([...running, ...starting])} of ${primary}`}</title>
    </g>
  );
}

const shortened = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max - 1)}…`;

function HostLink({
  node: { host, primaries, shadows, degraded },
  isNear,
  onPoint,
  children,
}: {
  readonly node: Node;
  readonly isNear: boolean;
  readonly onPoint: (id: string | undefined) => void;
  readonly children: React.ReactNode;
}) {
  const [, go] = useLocation();
  const { name } = host;
  const counts = `${plural(primaries, 'primary', 'primaries')}, ${plural(shadows, 'shadow')}`;
  const missing =
    degraded.length > 0 ? `, ${degraded.length} without the shadow they should have` : '';
  return (
    <a
      href={`/hosts/${name}`}
      className="u-node"
      data-state={host.state}
      data-near={isNear}
      aria-description={`${hostStatus(host).text}, ${counts}${missing}`}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey) return;
        event.preventDefault();
        go(`/hosts/${name}`);
      }}
      onMouseEnter={() => onPoint(name)}
      onMouseLeave={() => onPoint(undefined)}
      onFocus={() => onPoint(name)}
      onBlur={() => onPoint(undefined)}
    >
      {children}
    </a>
  );
}

interface ShapeProps {
  readonly node: Node;
  readonly place: Placed;
}

function Box({ node: { host, primaries, shadows, degraded, unprotected }, place }: ShapeProps) {
  const { name, state, memoryBytes, memoryFreeBytes } = host;
  const { width, height } = box;
  const inner = width - 24;
  const used = memoryBytes === 0 ? 0 : (memoryBytes - memoryFreeBytes) / memoryBytes;
  const isWell = state === 'connected';
  return (
    <g
      style={{ transform: `translate(${place.x - width / 2}px, ${place.y - height / 2}px)` }}
      className="u-node-place"
    >
      <rect className="u-node-box" width={width} height={height} rx="6" />
      <text className="u-node-name" x="12" y="22">
        {shortened(name, isWell ? 20 : 10)}
      </text>
      {!isWell && (
        <text className="u-node-state" x={width - 12} y="22" textAnchor="end">
          {hostStatus(host).text}
        </text>
      )}
      <text className="u-node-text" x="12" y="41">
        {plural(primaries, 'primary', 'primaries')} · {plural(shadows, 'shadow')}
      </text>
      <rect className="u-node-bar" x="12" y="50" width={inner} height="4" rx="2" />
      <rect className="u-node-used" x="12" y="50" width={inner * used} height="4" rx="2" />
      <text
        className="u-node-text"
        data-tone={degraded.length > 0 ? 'bad' : undefined}
        x="12"
        y="69"
      >
        {degraded.length > 0
          ? `${degraded.length} lack their shadow`
          : unprotected.length > 0
            ? `${unprotected.length} unprotected`
            : `${bytes(memoryFreeBytes)} free`}
      </text>
    </g>
  );
}

/** Where there is room for one word. */
const shortStates = { notResponding: 'lost', maintenance: 'emptied' } as const;

function Dot({ node: { host, primaries, shadows, degraded }, place: { x, y, angle } }: ShapeProps) {
  const degrees = (angle * 180) / Math.PI;
  // Names read from left to right on both sides.
  const isLeft = Math.cos(angle) < -0.001;
  const note =
    host.state !== 'connected'
      ? shortStates[host.state]
      : degraded.length > 0
        ? `${degraded.length} bare`
        : `${primaries} / ${shadows}`;
  return (
    <g style={{ transform: `translate(${x}px, ${y}px)` }} className="u-node-place">
      <circle className="u-node-box" r="6.5" />
      <text
        className="u-node-label"
        transform={`rotate(${isLeft ? degrees + 180 : degrees})`}
        x={isLeft ? -13 : 13}
        dy="0.35em"
        textAnchor={isLeft ? 'end' : 'start'}
      >
        <tspan className="u-node-name">{shortened(host.name, 12)}</tspan>{' '}
        <tspan
          className="u-node-text"
          data-tone={degraded.length > 0 || host.state === 'notResponding' ? 'bad' : undefined}
        >
          {note}
        </tspan>
      </text>
    </g>
  );
}
