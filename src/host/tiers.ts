/**
 * The ways in which a host may execute its VMs: `--tier`. Which one it is cannot be observed by a
 * guest; it is part of neither a VM's spec nor a machine's digest, and the two copies of a VM may
 * be executed in unlike ways.
 *
 * Apart from engine.ts, so that commands and daemons know the names without loading an engine.
 */
import type { TranslatorOptions } from '../engine/regions/translator.ts';

/** However long the landings took. */
const atOnce = { hotInstructionsMax: Number.POSITIVE_INFINITY };

/** What each tier asks of the translator. */
export const translations = {
  /** Translates what is hot. */
  auto: {},
  interpreter: { hotLandings: Number.POSITIVE_INFINITY },
  /** Translates at the second landing, and keeps it: of code that ran twice there is a lot. */
  translator: { ...atOnce, hotLandings: 1, codeBytesMax: 128 << 20 },
  /**
   * Throttled: hardly a region a run, each compiled at once, and room for so few that regions are
   * evicted all the time. For tests, which want compile times and evictions that no other host has.
   * Yet a tier like the others, not a variable of the environment: that would be the same for all
   * hosts of a demo, and would come to the engine on another way than the choice that is tested.
   */
  reluctant: {
    ...atOnce,
    hotLandings: 3000,
    codeBytesMax: 16_000,
    codeBytesPerRun: 0,
    codeBytesPerModule: 0,
  },
} as const satisfies Readonly<Record<string, Partial<TranslatorOptions>>>;

export type Tier = keyof typeof translations;
export const tiers = Object.keys(translations) as readonly Tier[];
