/**
 * Who is logged in here, and what follows when that ends.
 *
 *   unknown --showSession--> nobody --login--> open --refused--> interrupted --login--> open
 *                              ^------------- logout ---------------'
 *
 * An interrupted session keeps the page as it is, with all that was typed: whoever waits for a call
 * waits on in `renewed`, a dialogue asks for the password again, and the call is made once more.
 */
import type { SessionView } from '../../api/people.ts';
import type { UmbraError } from '../../api/problems.ts';
import { Observed } from '../live/observed.ts';

export type SessionState =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'open'; readonly session: SessionView }
  /** `why`: in the center's words. */
  | { readonly kind: 'interrupted'; readonly session: SessionView; readonly why: string };

/** Problems that mean: these credentials are worth nothing any more. */
const ended = new Set([
  'credentials-missing',
  'credentials-refused',
  'credentials-expired',
  'session-expired',
]);

export const endsSession = ({ code }: { readonly code?: string }): boolean =>
  code !== undefined && ended.has(code);

export class Session extends Observed<SessionState> {
  #renewal: PromiseWithResolvers<void> | undefined;

  constructor() {
    super({ kind: 'unknown' });
  }

  /** For calls by cookie that change something. */
  get csrfToken(): string | null {
    const { value } = this;
    return 'session' in value ? value.session.csrfToken : null;
  }

  /** Under which a call is made now; undefined: nobody's. */
  get current(): SessionView | undefined {
    const { value } = this;
    return 'session' in value ? value.session : undefined;
  }

  opened(session: SessionView): void {
    this.set({ kind: 'open', session });
    this.#renewal?.resolve();
    this.#renewal = undefined;
  }

  nobody(): void {
    this.set({ kind: 'nobody' });
    this.#renewal?.reject(new Error('logged out'));
    this.#renewal = undefined;
  }

  /**
   * The center refuses what this page shows.
   * @param shown the session under which it was asked
   * @returns resolves when somebody has logged in again, at once if they have done so since; rejects
   *   if they log out instead, or at once where nobody was logged in
   */
  renewed(why: UmbraError, shown: SessionView | undefined): Promise<void> {
    const { value } = this;
    // What the former session had open is refused one after the other.
    if (value.kind === 'open' && value.session !== shown) return Promise.resolve();
    if (!('session' in value)) {
      this.set({ kind: 'nobody' });
      return Promise.reject(why);
    }
    if (value.kind === 'open') {
      this.set({ kind: 'interrupted', session: value.session, why: why.message });
    }
    this.#renewal ??= Promise.withResolvers();
    return this.#renewal.promise.catch(() => {
      throw why;
    });
  }
}
