import { Bell } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/alarms',
  label: 'Alarms',
  nav: { group: 'Activity', order: 20, icon: Bell },
  access: 'viewer',
  load: () => import('./alarms.tsx'),
});
