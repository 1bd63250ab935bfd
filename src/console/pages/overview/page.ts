import { LayoutDashboard } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/',
  label: 'Overview',
  nav: { group: 'Cluster', order: 10, icon: LayoutDashboard },
  access: 'viewer',
  load: () => import('./overview.tsx'),
});
