/**
 * The engine as this host runs it: with what its processor and its compilers offer. None of it can
 * be observed by a guest; it only decides how fast the same is computed.
 */
import { setFlagsFromString } from 'node:v8';
import { maddIsFused } from '../engine/fused-probe.ts';
import type { TranslatorOptions } from '../engine/regions/translator.ts';
import { wasmEngine } from '../engine/wasm-engine.ts';
import { type Tier, translations } from './tiers.ts';

for (const flag of [
  // Without hints V8 keeps registers ready for calls that are hardly ever made.
  '--experimental-wasm-branch-hinting',
  // A region is validated when it is first called, not all of a module at once.
  '--wasm-lazy-validation',
  // Optimising costs a background thread five milliseconds a region: only for what runs a lot.
  '--wasm-tiering-budget=60000000',
  // Left to itself V8 lets the heap grow by little, and frames on their way count: a primary that
  // receives at full speed collected all of its heap three times a second.
  '--heap-growing-percent=300',
]) {
  setFlagsFromString(flag);
}

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
): ReturnType<typeof wasmEngine> {
  fused ??= fusedMultiplyAdd();
  return wasmEngine({ fusedMultiplyAdd: fused, ...translations[tier], ...options });
}
