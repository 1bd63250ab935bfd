/**
 * Fault tolerance of one VM, in the reference's words: status, both copies as a picture with what
 * flows between them, what would happen now, what can be done, and what has happened.
 */
import { useList, useVmFigures } from '../../../../live/hooks.ts';
import { Facts, Panel } from '../../../../parts/page.tsx';
import { ftStatus, reasonText, Status } from '../../../../parts/status.tsx';
import { bytes, count, duration, megabits } from '../../../../parts/units.ts';
import type { TabProps } from '../../define-tab.ts';
import { FtActions } from './ft-actions.tsx';
import { PairPicture } from './pair-picture.tsx';
import { Prechecks } from './prechecks.tsx';
import { RoleTimeline } from './role-timeline.tsx';
import { ifPrimaryWereLost } from './what-if.ts';

export default function FaultTolerance({ vm }: TabProps) {
  const { ft, id, name } = vm;
  const hosts = useList('hosts');
  const figures = useVmFigures(id);
  const outcome = ifPrimaryWereLost(vm, hosts, figures);
  const isOn = ft.state !== 'notConfigured';
  return (
    <div className="u-columns">
      <Panel title="Fault Tolerance Status" className="u-wide" aside={<Status {...ftStatus(ft)} />}>
        {ft.reason !== null && ft.state === 'needShadow' && (
          <p className="u-note">The shadow is needed because: {reasonText(ft.reason)}.</p>
        )}
        {vm.obstacle !== null && <p className="u-note">Waits: {vm.obstacle}</p>}
        {isOn ? <PairPicture vm={vm} figures={figures} /> : <NotConfigured name={name} />}
        <p className="u-outcome" data-tone={outcome.tone}>
          <strong>If the primary's host were lost now:</strong> {outcome.text}
        </p>
      </Panel>
      {isOn ? (
        <Panel title="Log and gate">
          <Facts
            facts={[
              ['Lockstep interval (lag)', duration(figures?.lagMs)],
              ['Log bandwidth', megabits(figures?.logMbitPerSecond)],
              ['Log sent', bytes(figures?.logBytesSent)],
              ['Gate latency, median', duration(figures?.gate?.medianMs)],
              ['Gate latency, 99th percentile', duration(figures?.gate?.p99Ms)],
              ['Outputs held now', count(figures?.gate?.held)],
              ['Fingerprints compared', count(figures?.fingerprintsCompared)],
              [
                'Last fingerprint',
                figures?.lastFingerprint == null
                  ? '–'
                  : `at entry ${count(figures.lastFingerprint.position)}, count ${count(figures.lastFingerprint.count)}`,
              ],
              ['Divergences', count(figures?.divergences)],
              ['Generation', ft.generation],
            ]}
          />
        </Panel>
      ) : (
        <Prechecks vm={vm} />
      )}
      <Panel title="Operations">
        <FtActions vm={vm} />
      </Panel>
      <Panel title="Role changes" className="u-wide">
        <RoleTimeline vm={vm} />
      </Panel>
    </div>
  );
}

function NotConfigured({ name }: { readonly name: string }) {
  return (
    <p className="u-note">
      {name} runs once. Protected, it runs twice: a shadow on another host re-executes every
      instruction and goes on at the very one where the world last heard from the primary, with its
      memory, disks and open connections.
    </p>
  );
}
