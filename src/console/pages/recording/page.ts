import { definePage } from '../define-page.ts';

export const page = definePage({
  path: '/vms/:vm/recordings/:recording',
  label: 'Recording',
  access: 'viewer',
  load: () => import('./recording.tsx'),
});
