import { History } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/events',
  label: 'Events',
  nav: { group: 'Activity', order: 10, icon: History },
  access: 'viewer',
  load: () => import('./events.tsx'),
});
