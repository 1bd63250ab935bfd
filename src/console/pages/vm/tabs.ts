/** The tabs of a VM's page: each a folder in `tabs/` with a `tab.ts` that gives its row. */
import type { LoadedTab } from './define-tab.ts';

const found = import.meta.glob<{ readonly tab: LoadedTab }>('./tabs/*/tab.ts', { eager: true });

export const tabs: readonly LoadedTab[] = Object.values(found)
  .map(({ tab }) => tab)
  .sort((a, b) => a.order - b.order);
