/** One event whole: its facts, what it is about, and the data that belong to it. */
import type { EventView } from '../../api/views.ts';
import { Details } from './details.tsx';
import { Subject } from './subject.tsx';
import { exactTime } from './units.ts';

export function EventDetails({
  event: { sequence, time, kind, text, data },
  onClose,
}: {
  readonly event: EventView;
  readonly onClose: () => void;
}) {
  return (
    <Details
      title={text}
      facts={[
        ['Time', exactTime(time)],
        ['Kind', <code key="kind">{kind}</code>],
        ['Number', sequence],
        ['About', <Subject key="about" vm={data['vm']} host={data['host']} />],
      ]}
      data={data}
      onClose={onClose}
    />
  );
}
