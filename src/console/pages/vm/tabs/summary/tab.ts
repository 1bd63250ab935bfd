import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'summary', label: 'Summary', order: 10, access: 'viewer' },
  load: () => import('./summary.tsx'),
});
