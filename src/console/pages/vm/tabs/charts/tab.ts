import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'charts', label: 'Charts', order: 40, access: 'viewer' },
  load: () => import('./charts.tsx'),
});
