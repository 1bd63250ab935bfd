import { ScrollText } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/audit',
  label: 'Audit trail',
  nav: { group: 'Administration', order: 30, icon: ScrollText },
  access: 'administrator',
  load: () => import('./audit.tsx'),
});
