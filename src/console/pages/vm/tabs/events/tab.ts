import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'events', label: 'Events', order: 80, access: 'viewer' },
  load: () => import('./events.tsx'),
});
