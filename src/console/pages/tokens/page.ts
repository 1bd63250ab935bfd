import { KeyRound } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/tokens',
  label: 'API tokens',
  nav: { group: 'Administration', order: 20, icon: KeyRound },
  access: 'viewer',
  load: () => import('./tokens.tsx'),
});
