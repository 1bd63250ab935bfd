import type { ReactNode } from 'react';

/** Where there is nothing yet: what would be here, and the next step. */
export function Empty({
  title,
  children,
  action,
}: {
  readonly title: string;
  readonly children?: ReactNode;
  readonly action?: ReactNode;
}) {
  return (
    <div className="u-empty">
      <h2>{title}</h2>
      {children && <div>{children}</div>}
      {action && <div className="u-empty-action">{action}</div>}
    </div>
  );
}
