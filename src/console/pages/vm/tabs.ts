/** The tabs of a VM's page: each a folder in `tabs/` with a `tab.ts` that gives its row. */
import { type ComponentType, type LazyExoticComponent, lazy } from 'react';
import type { Role } from '../../../api/roles.ts';
import type { VmView } from '../../../api/views.ts';

export interface TabProps {
  readonly vm: VmView;
}

export interface TabRow {
  /** Its part of the path; the first one in order is there without it, too. */
  readonly path: string;
  readonly label: string;
  readonly order: number;
  readonly access: Role;
  readonly load: () => Promise<{ readonly default: ComponentType<TabProps> }>;
}

export type LoadedTab = TabRow & {
  readonly component: LazyExoticComponent<ComponentType<TabProps>>;
};

export const defineTab = (row: TabRow): LoadedTab => ({ ...row, component: lazy(row.load) });

const found = import.meta.glob<{ readonly tab: LoadedTab }>('./tabs/*/tab.ts', { eager: true });

export const tabs: readonly LoadedTab[] = Object.values(found)
  .map(({ tab }) => tab)
  .sort((a, b) => a.order - b.order);
