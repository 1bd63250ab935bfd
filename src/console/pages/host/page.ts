import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/hosts/:host',
  label: 'Host',
  access: 'viewer',
  load: () => import('./host.tsx'),
});
