import { Server } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/hosts',
  label: 'Hosts',
  nav: { group: 'Cluster', order: 30, icon: Server },
  access: 'viewer',
  load: () => import('./hosts.tsx'),
});
