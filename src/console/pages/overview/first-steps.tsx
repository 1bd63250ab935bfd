/**
 * The way to a first protected VM, until there is one: what is done, and what comes next, with the
 * button or the command that does it.
 */
import { Check } from 'lucide-react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import type { VmView } from '../../../api/views.ts';
import { useCluster } from '../../live/hooks.ts';
import { useImages } from '../../live/images.ts';
import { Action } from '../../parts/action.tsx';
import { Panel } from '../../parts/page.tsx';

interface Step {
  readonly isDone: boolean;
  readonly title: string;
  readonly text: ReactNode;
}

export function FirstSteps(props: { readonly hosts: number; readonly vms: readonly VmView[] }) {
  const { hosts, vms } = props;
  const { client } = useCluster();
  const images = useImages();
  const vm = vms.find(({ state }) => state === 'poweredOn') ?? vms[0];
  const params = { vm: vm?.name ?? '' };
  const steps: readonly Step[] = [
    {
      isDone: hosts >= 2,
      title: 'Join two hosts',
      text: (
        <>
          The two copies never share one. {hosts === 1 ? 'One has joined; one more.' : ''}{' '}
          <Link href="/hosts">Join a host</Link>
        </>
      ),
    },
    {
      isDone: (images?.length ?? 0) > 0 || vm !== undefined,
      title: 'Have an image',
      text: (
        <>
          On the center's machine: <code>umbra image build redis</code>, or one of your own.
        </>
      ),
    },
    {
      isDone: vm !== undefined,
      title: 'Create a VM',
      text: (
        <>
          From an image, protected from the start if you like.{' '}
          <Link href="/vms?create">Create a VM</Link>
        </>
      ),
    },
    {
      isDone: vm?.state === 'poweredOn',
      title: 'Power it on',
      text:
        vm === undefined ? (
          'It boots on a host with room.'
        ) : (
          <Action
            label={`Power on ${vm.name}`}
            endpoint="startVm"
            run={() => client.call('startVm', { params, body: {} })}
          />
        ),
    },
    {
      isDone: false,
      title: 'Turn fault tolerance on',
      text:
        vm === undefined ? (
          'A shadow starts on another host while the VM runs on.'
        ) : (
          <>
            A shadow starts on another host while {vm.name} runs on.{' '}
            <Link href={`/vms/${vm.name}/fault-tolerance`}>Check and turn on</Link>
          </>
        ),
    },
  ];
  const next = steps.findIndex(({ isDone }) => !isDone);
  return (
    <Panel title="Protect your first VM" className="u-first">
      <ol className="u-steps">
        {steps.map(({ isDone, title, text }, index) => (
          <li key={title} data-done={isDone} data-next={index === next}>
            <span className="u-step-sign">
              {isDone ? <Check size={14} aria-label="done" /> : index + 1}
            </span>
            <div>
              <strong>{title}</strong>
              {/* What is done needs no words. */}
              {!isDone && <div className="u-dim">{text}</div>}
            </div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
