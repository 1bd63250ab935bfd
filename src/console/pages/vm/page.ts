import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/vms/:vm/:tab?',
  label: 'Virtual machine',
  access: 'viewer',
  load: () => import('./vm.tsx'),
});
