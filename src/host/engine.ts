/**
 * The engine as this host runs it: with what its processor and its compilers offer. None of it can
 * be observed by a guest; it only decides how fast the same is computed.
 */
import { setFlagsFromString } from 'node:v8';
import { maddIsFused } from '../engine/fused-probe.ts';
import type { TranslatorOptions } from '../engine/regions/translator.ts';
import { wasmEngine } from '../engine/wasm-engine.ts';
import type { EngineMaker } from '../machine/engine.ts';

/** How instructions are executed: `auto` translates what is hot. */
export const tiers = ['auto', 'interpreter', 'translator'] as const;
export type Tier = (typeof tiers)[number];

// Without hints V8 keeps registers ready for calls that are hardly ever made.
setFlagsFromString('--experimental-wasm-branch-hinting');

/** Tried in each of V8's compilers for WebAssembly: the baseline one, then the optimising one. */
function fusedMultiplyAdd(): boolean {
  if (!maddIsFused('baseline')) return false;
  setFlagsFromString('--no-liftoff');
  try {
    return maddIsFused('optimised');
  } finally {
    setFlagsFromString('--liftoff');
  }
}

let fused: boolean | undefined;

export function hostEngine(
  tier: Tier = 'auto',
  options: Partial<TranslatorOptions> = {},
): EngineMaker {
  fused ??= fusedMultiplyAdd();
  const eagerness = {
    auto: {},
    interpreter: { hotLandings: Number.POSITIVE_INFINITY },
    translator: { hotLandings: 1 },
  }[tier];
  return wasmEngine({ fusedMultiplyAdd: fused, ...eagerness, ...options });
}
