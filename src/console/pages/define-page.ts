/** A page's row (registry.ts). */
import type { LucideIcon } from 'lucide-react';
import { type ComponentType, type LazyExoticComponent, lazy } from 'react';
import type { Role } from '../../api/roles.ts';

export interface PageRow {
  /** Of wouter, such as `/vms/:vm/:tab?`; its parameters are the component's `params`. */
  readonly path: string;
  readonly label: string;
  /** In the navigation, if it belongs there: its group, its place in the group, its sign. */
  readonly nav?: { readonly group: NavGroup; readonly order: number; readonly icon: LucideIcon };
  /** The least role that may see it. */
  readonly access: Role;
  readonly load: () => Promise<{ readonly default: ComponentType<PageParams> }>;
}

export interface PageParams {
  readonly params: Readonly<Record<string, string | undefined>>;
}

export const navGroups = ['Cluster', 'Activity', 'Administration'] as const;
export type NavGroup = (typeof navGroups)[number];

export type LoadedPage = PageRow & {
  readonly component: LazyExoticComponent<ComponentType<PageParams>>;
};

export function definePage(row: PageRow): LoadedPage {
  return { ...row, component: lazy(row.load) };
}
