/** The way to a first protected VM, until there is one: what is done, and what comes next. */
import { Check } from 'lucide-react';
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import { Panel } from '../../parts/page.tsx';

export function FirstSteps({ hosts, vms }: { readonly hosts: number; readonly vms: number }) {
  const steps: readonly (readonly [done: boolean, title: string, text: ReactNode])[] = [
    [
      hosts >= 2,
      'Join two hosts',
      <>
        The two copies never share one. {hosts === 1 ? 'One has joined; one more.' : ''}{' '}
        <Link href="/hosts">Join a host</Link>
      </>,
    ],
    [
      vms > 0,
      'Create a VM',
      <>
        From an image, such as <code>redis</code>. <Link href="/vms">Create a VM</Link>
      </>,
    ],
    [false, 'Turn fault tolerance on', 'On the page of the VM; its shadow starts by itself.'],
  ];
  const next = steps.findIndex(([done]) => !done);
  return (
    <Panel title="Protect your first VM" className="u-first">
      <ol className="u-steps">
        {steps.map(([done, title, text], index) => (
          <li key={title} data-done={done} data-next={index === next}>
            <span className="u-step-sign">
              {done ? <Check size={14} aria-label="done" /> : index + 1}
            </span>
            <div>
              <strong>{title}</strong>
              <div className="u-dim">{text}</div>
            </div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
