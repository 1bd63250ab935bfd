import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'fault-tolerance', label: 'Fault tolerance', order: 30, access: 'viewer' },
  load: () => import('./fault-tolerance.tsx'),
});
