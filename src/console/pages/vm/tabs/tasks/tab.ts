import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'tasks', label: 'Tasks', order: 70, access: 'viewer' },
  load: () => import('./tasks.tsx'),
});
