import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/account',
  label: 'Your account',
  access: 'viewer',
  load: () => import('./account.tsx'),
});
