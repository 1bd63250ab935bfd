/** States as people see them: always a sign and a word, never a colour alone. */
import {
  CircleCheck,
  CircleDashed,
  CircleHelp,
  CircleX,
  LoaderCircle,
  TriangleAlert,
} from 'lucide-react';
import type { FtStatusView, HostView, VmView } from '../../api/views.ts';
import type { Tone } from './tone.ts';

const signs = {
  good: CircleCheck,
  busy: LoaderCircle,
  warn: TriangleAlert,
  bad: CircleX,
  off: CircleDashed,
  unknown: CircleHelp,
} as const;

export function Status({ tone, text, title }: StatusText & { readonly title?: string }) {
  const Sign = signs[tone];
  return (
    <span className="u-status" data-tone={tone} title={title}>
      <Sign size={14} aria-hidden />
      <span>{text}</span>
    </span>
  );
}

export interface StatusText {
  readonly tone: Tone;
  readonly text: string;
}

const reasons: Readonly<Record<string, string>> = {
  initializing: 'initializing',
  divergence: 'the copies diverged',
  lostConnection: 'connection lost',
  partialHardwareFailure: 'partial hardware failure',
  userAction: 'asked for',
  checkpointError: 'checkpoint failed',
  vmNotRunning: 'VM not running',
};
export const reasonText = (reason: string): string => reasons[reason] ?? reason;

/** In the reference's words. */
export function ftStatus({ state, reason }: Pick<FtStatusView, 'state' | 'reason'>): StatusText {
  switch (state) {
    case 'running':
      return { tone: 'good', text: 'Protected' };
    case 'starting':
      return { tone: 'busy', text: 'Not Protected: Starting' };
    case 'needShadow':
      return { tone: 'bad', text: 'Not Protected: Need Shadow VM' };
    case 'disabled':
      return { tone: 'warn', text: 'Not Protected: Disabled' };
    case 'enabled':
      return reason === 'vmNotRunning' || reason === null
        ? { tone: 'off', text: 'Not Protected: VM not Running' }
        : { tone: 'warn', text: `Not Protected: ${reasonText(reason)}` };
    default:
      return { tone: 'off', text: 'Not configured' };
  }
}

/** For tables: the same without what a column's head says already. */
export function shortFtStatus(ft: Pick<FtStatusView, 'state' | 'reason'>): StatusText {
  const { tone, text } = ftStatus(ft);
  return { tone, text: text.replace('Not Protected: ', '') };
}

const powers: Readonly<Record<VmView['state'], StatusText>> = {
  poweredOn: { tone: 'good', text: 'Powered on' },
  poweredOff: { tone: 'off', text: 'Powered off' },
  starting: { tone: 'busy', text: 'Starting' },
  stopping: { tone: 'busy', text: 'Stopping' },
  suspended: { tone: 'off', text: 'Suspended' },
  unknown: { tone: 'unknown', text: 'Unknown' },
};
export const powerStatus = ({ state }: Pick<VmView, 'state'>): StatusText => powers[state];

const hostStates: Readonly<Record<HostView['state'], StatusText>> = {
  connected: { tone: 'good', text: 'Connected' },
  notResponding: { tone: 'bad', text: 'Not responding' },
  maintenance: { tone: 'warn', text: 'Maintenance' },
};
export const hostStatus = ({ state }: Pick<HostView, 'state'>): StatusText => hostStates[state];
