import { definePage } from '../registry.ts';

export const page = definePage({
  path: '/vms/:vm/:tab?',
  label: 'Virtual machine',
  access: 'viewer',
  load: () => import('./vm.tsx'),
});
