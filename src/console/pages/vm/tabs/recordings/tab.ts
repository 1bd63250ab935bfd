import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'recordings', label: 'Recordings', order: 55, access: 'viewer' },
  load: () => import('./recordings.tsx'),
});
