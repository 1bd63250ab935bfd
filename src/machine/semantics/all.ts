/** All routines of a machine with this layout. */
import type { Definitions } from '../../isa/semantics.ts';
import type { Layout } from '../layout.ts';
import { defineCsrs } from './csr.ts';
import { defineFetch } from './fetch.ts';
import { defineMemory } from './memory.ts';
import { definePaging } from './paging.ts';
import { PageTracking } from './tracking.ts';
import { defineTraps } from './trap.ts';

export interface MachineSemantics {
  readonly tracking: PageTracking;
  readonly definitions: Definitions;
  /** What belongs at `csrIndexAt` in linear memory. */
  readonly csrIndex: Uint8Array;
}

export function machineSemantics(layout: Layout): MachineSemantics {
  const tracking = new PageTracking(layout);
  definePaging(tracking);
  defineMemory(tracking);
  defineFetch(tracking);
  defineTraps(tracking);
  const csrIndex = defineCsrs(tracking);
  return { tracking, definitions: tracking.definitions, csrIndex };
}
