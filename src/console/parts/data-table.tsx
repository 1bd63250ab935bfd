/**
 * A table for any number of rows: only those in sight are in the page. Sorted by a column's head,
 * narrowed by a filter; arrow keys, Page Up and Down, Home and End go from row to row, Enter opens.
 *
 * Its markup is that of ARIA's table pattern on divs, with the true number of rows and each one's
 * place, since most of them are not there.
 */
import { TextInput } from '@mantine/core';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp, Search } from 'lucide-react';
import {
  type KeyboardEvent,
  type ReactNode,
  useDeferredValue,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { plural } from './units.ts';

export interface Column<R> {
  readonly key: string;
  readonly head: string;
  readonly cell: (row: R) => ReactNode;
  /** What it is sorted by; without it it cannot be. */
  readonly sort?: (row: R) => string | number;
  /** A width of CSS grid, such as `minmax(10rem, 2fr)`. */
  readonly width: string;
  readonly align?: 'end';
}

export interface DataTableProps<R> {
  readonly label: string;
  readonly rows: readonly R[];
  readonly rowId: (row: R) => string;
  readonly columns: readonly Column<R>[];
  /** What a filter looks in, in lower case. Without it there is none. */
  readonly text?: (row: R) => string;
  /** Of one row, for the count: `VM`. */
  readonly noun: string;
  readonly onOpen?: (row: R) => void;
  /** Beside the filter. */
  readonly tools?: ReactNode;
  /** New rows come at the head, and what somebody looks at stays where it is. */
  readonly isLog?: boolean;
  /** In place of rows, if there are none at all. */
  readonly empty?: ReactNode;
}

const rowPx = 36;
/** Of so many new rows at once the view is kept in its place; more are another list. */
const freshMax = 500;
const collator = new Intl.Collator('en', { numeric: true });

export function DataTable<R>(props: DataTableProps<R>) {
  const { label, rows, rowId, columns, text, noun, onOpen, tools, isLog = false, empty } = props;
  const [filter, setFilter] = useState('');
  const [order, setOrder] = useState<{ key: string; isDown: boolean } | undefined>();
  const [current, setCurrent] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const wanted = useDeferredValue(filter.trim().toLowerCase());

  const shown = useMemo(() => {
    const found = wanted === '' || !text ? rows : rows.filter((row) => text(row).includes(wanted));
    const by = columns.find(({ key }) => key === order?.key)?.sort;
    if (by === undefined) return found;
    const sign = order!.isDown ? -1 : 1;
    return [...found].sort((a, b) => sign * compare(by(a), by(b)));
  }, [rows, wanted, order, columns, text]);

  const virtual = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowPx,
    overscan: 8,
  });
  const head = isLog && order === undefined && shown[0] ? rowId(shown[0]) : undefined;
  const lastHead = useRef(head);
  useLayoutEffect(() => {
    const before = lastHead.current;
    lastHead.current = head;
    const element = scroller.current;
    if (before === undefined || before === head || !element?.scrollTop) return;
    const fresh = shown.slice(0, freshMax).findIndex((row) => rowId(row) === before);
    if (fresh > 0) {
      element.scrollTop += fresh * rowPx;
      setCurrent((at) => at + fresh);
    }
  }, [head, shown, rowId]);
  const template = columns.map(({ width }) => width).join(' ');

  const go = (to: number) => {
    const next = Math.max(0, Math.min(shown.length - 1, to));
    setCurrent(next);
    virtual.scrollToIndex(next);
    // It may have to come into the page first.
    requestAnimationFrame(() => {
      scroller.current?.querySelector<HTMLElement>(`[data-index="${next}"]`)?.focus();
    });
  };
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const page = Math.floor((scroller.current?.clientHeight ?? 0) / rowPx) - 1;
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + page,
      PageUp: current - page,
      Home: 0,
      End: shown.length - 1,
    };
    const to = steps[event.key];
    if (to !== undefined) {
      event.preventDefault();
      go(to);
    } else if (event.key === 'Enter' && event.target === event.currentTarget) {
      const row = shown[Number(event.currentTarget.dataset['index'])];
      if (row !== undefined) onOpen?.(row);
    }
  };

  if (rows.length === 0 && empty !== undefined) return empty;
  return (
    <div className="u-table-frame">
      {(text || tools) && (
        <div className="u-table-tools">
          {text && (
            <TextInput
              size="xs"
              aria-label={`Filter ${label}`}
              placeholder="Filter"
              leftSection={<Search size={14} aria-hidden />}
              value={filter}
              onChange={(event) => setFilter(event.currentTarget.value)}
            />
          )}
          {tools}
          <span className="u-dim" role="status">
            {shown.length === rows.length
              ? plural(rows.length, noun)
              : `${shown.length} of ${plural(rows.length, noun)}`}
          </span>
        </div>
      )}
      <div className="u-table-scroll" ref={scroller}>
        <div role="table" aria-label={label} aria-rowcount={shown.length + 1} className="u-table">
          <div role="rowgroup" className="u-table-head">
            <div
              role="row"
              aria-rowindex={1}
              className="u-row"
              style={{ gridTemplateColumns: template }}
            >
              {columns.map((column) => (
                <Head key={column.key} column={column} order={order} onOrder={setOrder} />
              ))}
            </div>
          </div>
          <div role="rowgroup" className="u-table-body" style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map(({ index, start }) => {
              const row = shown[index]!;
              return (
                <div
                  key={rowId(row)}
                  role="row"
                  aria-rowindex={index + 2}
                  data-index={index}
                  tabIndex={index === Math.min(current, shown.length - 1) ? 0 : -1}
                  className="u-row"
                  style={{ gridTemplateColumns: template, transform: `translateY(${start}px)` }}
                  onFocus={() => setCurrent(index)}
                  onKeyDown={onKeyDown}
                  onDoubleClick={() => onOpen?.(row)}
                >
                  {columns.map(({ key, cell, align }) => (
                    <div key={key} role="cell" data-align={align}>
                      {cell(row)}
                    </div>
                  ))}
                </div>
              );
            })}
          </div>
        </div>
        {shown.length === 0 && <p className="u-table-none">Nothing fits the filter.</p>}
      </div>
    </div>
  );
}

function Head<R>({
  column,
  order,
  onOrder,
}: {
  readonly column: Column<R>;
  readonly order: { key: string; isDown: boolean } | undefined;
  readonly onOrder: (order: { key: string; isDown: boolean } | undefined) => void;
}) {
  const { key, head, sort, align } = column;
  const isBy = order?.key === key;
  if (sort === undefined) {
    return (
      <div role="columnheader" data-align={align}>
        {head}
      </div>
    );
  }
  // Up, down, as it comes.
  const next = !isBy ? { key, isDown: false } : order.isDown ? undefined : { key, isDown: true };
  const Arrow = order?.isDown ? ArrowDown : ArrowUp;
  return (
    <div
      role="columnheader"
      data-align={align}
      aria-sort={!isBy ? 'none' : order.isDown ? 'descending' : 'ascending'}
    >
      <button type="button" className="u-sort" onClick={() => onOrder(next)}>
        {head}
        {isBy && <Arrow size={12} aria-hidden />}
      </button>
    </div>
  );
}

function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return collator.compare(String(a), String(b));
}
