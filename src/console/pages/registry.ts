/**
 * The pages. Each is a folder beside this file with a `page.ts` that gives its row by `definePage`;
 * nothing else has to know of it. A page's code is loaded when somebody goes there.
 *
 * The VM's page has tabs in the same manner: folders in `vm/tabs/` with a `tab.ts` (vm/tabs.ts).
 */
import type { LoadedPage, NavGroup } from './define-page.ts';

const found = import.meta.glob<{ readonly page: LoadedPage }>('./*/page.ts', { eager: true });

export const pages: readonly LoadedPage[] = Object.values(found).map(({ page }) => page);

/** Of one group of the navigation, in order. */
export function navOf(group: NavGroup): readonly LoadedPage[] {
  return pages
    .filter(({ nav }) => nav?.group === group)
    .sort((a, b) => a.nav!.order - b.nav!.order);
}
