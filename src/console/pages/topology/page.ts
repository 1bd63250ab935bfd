import { Waypoints } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/topology',
  label: 'Topology',
  nav: { group: 'Cluster', order: 40, icon: Waypoints },
  access: 'viewer',
  load: () => import('./topology.tsx'),
});
