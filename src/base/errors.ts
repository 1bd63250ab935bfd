/**
 * Host failures and bad input: each has a code, a sentence that says what and why, and a remedy.
 *
 * Codes are stable, scripts may test them. A guest's fault is never one of these (it is a trap or a
 * device status), neither is a bug (an assertion) nor a divergence (an outcome of its own).
 */
export class UmbraError extends Error {
  override readonly name = 'UmbraError';
  /** Stable identifier in kebab-case, such as `image-unknown`. */
  readonly code: string;
  /** What the reader can do about it, as one sentence. */
  readonly remedy: string;

  constructor(code: string, message: string, remedy: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}
