import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'disks', label: 'Disks', order: 60, access: 'viewer' },
  load: () => import('./disks.tsx'),
});
