import { ListTodo } from 'lucide-react';
import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/tasks',
  label: 'Tasks',
  nav: { group: 'Activity', order: 30, icon: ListTodo },
  access: 'viewer',
  load: () => import('./tasks.tsx'),
});
