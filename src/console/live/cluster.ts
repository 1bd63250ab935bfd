/**
 * Everything that this page has of the center: the typed client, the session, the live store and
 * the events, with their WebSockets, open from a login to the logout. One of it in a page.
 */
import { Calls } from '../../api/calls.ts';
import type { LiveMessage } from '../../api/live.ts';
import type { SessionView } from '../../api/people.ts';
import { UmbraError } from '../../api/problems.ts';
import type { EventView } from '../../api/views.ts';
import { endsSession, Session } from '../session/session.ts';
import { FetchTransport } from '../session/transport.ts';
import { EventLog } from './events.ts';
import { Observed } from './observed.ts';
import { Link, type LinkOptions, type LinkState } from './reconnecting.ts';
import { LiveStore } from './store.ts';

const eventsAtFirst = 200;
const retryMs = 2_000;

export class ClusterLink {
  readonly session = new Session();
  readonly client = new Calls(new FetchTransport(this.session));
  readonly store = new LiveStore();
  readonly events = new EventLog();
  readonly state = new Observed<LinkState>('connecting');
  #links: Link[] = [];

  /** Is somebody logged in? */
  async begin(): Promise<void> {
    try {
      this.opened(await this.client.call('showSession'));
    } catch (error) {
      if (error instanceof UmbraError && endsSession(error)) return this.session.nobody();
      throw error;
    }
  }

  opened(session: Parameters<Session['opened']>[0]): void {
    this.session.opened(session);
    if (this.#links.length > 0) return;
    const live = this.link({
      path: () => '/live',
      onMessage: (text) => this.store.apply(JSON.parse(text) as LiveMessage),
      onState: (state) => this.state.set(state),
    });
    this.#links = [live];
    void this.#follow();
  }

  async logout(): Promise<void> {
    for (const link of this.#links.splice(0)) link.close();
    await this.client.call('logout').catch(() => {});
    // Nothing of one person's stays for the next.
    location.assign('/');
  }

  /** A WebSocket that survives the end of a session. */
  link(options: Omit<LinkOptions, 'mayRetry'>): Link {
    let shown = this.session.current;
    return new Link({
      ...options,
      path: () => {
        shown = this.session.current;
        return options.path();
      },
      mayRetry: (why) => this.#mayRetry(why, shown),
    });
  }

  async #follow(): Promise<void> {
    const query = { last: true, limit: eventsAtFirst };
    try {
      this.events.add(await this.client.call('listEvents', { query }));
    } catch {
      // The center restarts, or the like: the live link tells people so.
      setTimeout(() => this.#links.length > 0 && this.#follow(), retryMs);
      return;
    }
    if (this.#links.length === 0) return;
    this.#links.push(
      this.link({
        path: () => `/events/stream?after=${this.events.last}`,
        onMessage: (text) => this.events.add([JSON.parse(text) as EventView]),
        onState: () => {},
      }),
    );
  }

  async #mayRetry(why: UmbraError | undefined, shown: SessionView | undefined): Promise<void> {
    if (why !== undefined) {
      if (endsSession(why)) return this.session.renewed(why, shown);
      throw why;
    }
    try {
      await this.client.call('showSession');
    } catch (error) {
      if (error instanceof UmbraError && endsSession(error))
        return this.session.renewed(error, shown);
    }
  }
}
