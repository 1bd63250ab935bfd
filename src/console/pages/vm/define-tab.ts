/** A row of the tabs of a VM's page (tabs.ts). */
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
