/**
 * What is there only for those who may do it. In rows and menus, where a dim button for each would
 * be noise; where an action stands alone, `Action` shows it dim and says which role it takes.
 */
import type { ReactNode } from 'react';
import type { EndpointName } from '../../api/endpoints.ts';
import { useMissingRole } from '../live/hooks.ts';

export function Permitted({
  endpoint,
  children,
}: {
  readonly endpoint: EndpointName;
  readonly children: ReactNode;
}) {
  return useMissingRole(endpoint) === undefined ? children : null;
}
