import { Monitor } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/vms',
  label: 'Virtual machines',
  nav: { group: 'Cluster', order: 20, icon: Monitor },
  access: 'viewer',
  load: () => import('./vms.tsx'),
});
