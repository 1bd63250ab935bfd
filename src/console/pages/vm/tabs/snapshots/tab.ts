import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'snapshots', label: 'Snapshots', order: 50, access: 'viewer' },
  load: () => import('./snapshots.tsx'),
});
