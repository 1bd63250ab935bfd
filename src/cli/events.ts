/** Events of a center, as many as there are: the API gives them in pages. */
import type { Client } from '../api/client.ts';
import type { EventView } from '../api/views.ts';

const pageMax = 1_000;

/** @param vm only events of this VM */
export async function readEvents(
  client: Client,
  { after = 0, vm }: { after?: number; vm?: string | undefined },
): Promise<EventView[]> {
  const events: EventView[] = [];
  for (;;) {
    const last = events.at(-1)?.sequence ?? after;
    const query = { after: last, limit: pageMax, ...(vm !== undefined && { vm }) };
    const page = await client.call('listEvents', { query });
    events.push(...page);
    if (page.length < pageMax) return events;
  }
}
