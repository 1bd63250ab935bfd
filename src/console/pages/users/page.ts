import { Users } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/users',
  label: 'Users',
  nav: { group: 'Administration', order: 10, icon: Users },
  access: 'administrator',
  load: () => import('./users.tsx'),
});
