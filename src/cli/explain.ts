/** Errors as people read them, and the exit code that they mean. Loaded before anything heavy. */
import { CommanderError } from 'commander';
import { UmbraError } from '../base/errors.ts';

/** Prints what, why and what to do. @returns the exit code: 1 failed, 2 wrong usage */
export function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UmbraError) {
    const { message, remedy } = error;
    const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
    console.error(`umbra: ${sentence}${remedy === '' ? '' : ` ${remedy}`}`);
    return usageErrors.has(error.code) ? 2 : 1;
  }
  console.error('umbra: a bug has surfaced. Please report it with what follows.');
  console.error(error);
  return 1;
}

const usageErrors = new Set([
  'nothing-to-run',
  'image-or-kernel',
  'cpus-out-of-range',
  'memory-out-of-range',
  'publish-invalid',
  'listen-malformed',
  'center-url-malformed',
  'not-a-number',
  'no-place',
  'no-port',
  'trace-without-symbols',
  'duration-malformed',
  'policy-unknown',
  'fingerprint-malformed',
  'tier-unknown',
  'tiers-too-many',
  'symbols-without-profile',
]);
