/** Functions as a replay enters them: a breakpoint on the first instruction of each, passed by. */
import type { Traps } from '../../machine/debug-traps.ts';
import type { SymbolTable } from '../local/symbols.ts';
import { FunctionTrace, type ReplayExport } from './exports.ts';

export interface TraceExport extends ReplayExport {
  readonly traps: Traps;
}

export function traceFunctions(path: string, symbols: SymbolTable): TraceExport {
  const file = new FunctionTrace(path);
  const names = new Map(symbols.beginnings());
  return {
    traps: {
      breakpoints: new Set(names.keys()),
      watches: [],
      passing(trap, count) {
        if (trap.kind !== 'breakpoint') return;
        const name = names.get(trap.pc);
        if (name !== undefined) file.entered(trap.hart, name, count);
      },
    },
    close: () => file.close(),
  };
}
