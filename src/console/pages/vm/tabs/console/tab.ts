import { defineTab } from '../../define-tab.ts';

export const tab = defineTab({
  ...{ path: 'console', label: 'Console', order: 20, access: 'operator' },
  load: () => import('./console.tsx'),
});
