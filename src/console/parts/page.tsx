/** What every page has: its title (told to screen readers when one comes to it), actions, contents. */
import { type ReactNode, useEffect, useRef } from 'react';

export interface PageProps {
  readonly title: string;
  /** Beside the title: its state. */
  readonly state?: ReactNode;
  readonly actions?: ReactNode;
  /** Above the title: where one comes from. */
  readonly above?: ReactNode;
  readonly children: ReactNode;
  /** The contents take the height that is there and scroll by themselves. */
  readonly fills?: boolean;
}

export function Page({ title, state, actions, above, children, fills = false }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} – Umbra`;
    heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <div className="u-page" data-fills={fills}>
      {above}
      <div className="u-page-head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {state}
        <div className="u-page-actions">{actions}</div>
      </div>
      {children}
    </div>
  );
}

export function Panel({
  title,
  aside,
  children,
  className = '',
}: {
  readonly title?: string;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
  readonly className?: string;
}) {
  return (
    <section className={`u-panel ${className}`} {...(title && { 'aria-label': title })}>
      {title && (
        <div className="u-panel-head">
          <h2>{title}</h2>
          {aside}
        </div>
      )}
      {children}
    </section>
  );
}

export type Fact = readonly [label: string, value: ReactNode];

/** Labels and values; what is undefined or false is left out. */
export function Facts({ facts }: { readonly facts: readonly (Fact | false | undefined)[] }) {
  return (
    <dl className="u-facts">
      {facts.map(
        (fact) =>
          fact && (
            <div key={fact[0]}>
              <dt>{fact[0]}</dt>
              <dd>{fact[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}
