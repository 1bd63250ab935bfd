/** A table of few rows, all of them in the page; for many there is DataTable. */
import type { ReactNode } from 'react';
import './plain-table.css';

export function PlainTable({
  label,
  heads,
  children,
}: {
  readonly label: string;
  readonly heads: readonly string[];
  /** `<tr>`s. */
  readonly children: ReactNode;
}) {
  return (
    // Where it is wider than the page it scrolls, by the keyboard, too.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region takes the focus (WCAG 2.1.1)
    <section className="u-plain" tabIndex={0} aria-label={label}>
      <table aria-label={label}>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
