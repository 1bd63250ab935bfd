import type { AlarmView } from '../../api/lifecycle-views.ts';
import { useCluster } from '../live/hooks.ts';
import { Action } from './action.tsx';
import { Status, type StatusText } from './status.tsx';
import { Subject } from './subject.tsx';
import { Time } from './time.tsx';
import type { Tone } from './tone.ts';

const tones: Readonly<Record<AlarmView['severity'], Tone>> = {
  red: 'bad',
  yellow: 'warn',
  gray: 'unknown',
};

const words: Readonly<Record<AlarmView['severity'], string>> = {
  red: 'Red',
  yellow: 'Yellow',
  gray: 'Unknown',
};

export const alarmStatus = ({ severity }: Pick<AlarmView, 'severity'>): StatusText => ({
  tone: tones[severity],
  text: words[severity],
});

/** Its text, in which what it is about is a link; most texts begin with that. */
function Told({ text, vm, host }: Pick<AlarmView, 'text' | 'vm' | 'host'>) {
  const name = vm ?? host;
  const isFirst = name !== null && text.startsWith(`${name} `);
  return (
    <span className="u-grow u-words">
      <Subject vm={vm} host={host} />
      {isFirst ? text.slice(name.length) : `: ${text}`}
    </span>
  );
}

export function AlarmRow({ alarm }: { readonly alarm: AlarmView }) {
  const { client } = useCluster();
  const { id, text, vm, host, since, acknowledged } = alarm;
  return (
    <li>
      <Status {...alarmStatus(alarm)} />
      <Told text={text} vm={vm} host={host} />
      <Time at={since} />
      {acknowledged === null && (
        <Action
          label="Acknowledge"
          endpoint="acknowledgeAlarm"
          size="compact-xs"
          variant="subtle"
          run={() => client.call('acknowledgeAlarm', { params: { alarm: id } })}
        />
      )}
    </li>
  );
}
