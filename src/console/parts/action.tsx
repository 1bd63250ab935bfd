/**
 * Buttons that do something at the center. Which role may press them is told by the endpoint's own
 * row; what is asked before, and what it will do, is told by whoever places the button.
 */
import { Button, type ButtonProps, Group, Modal, Text, Tooltip } from '@mantine/core';
import { type ReactNode, useId, useState } from 'react';
import type { EndpointName } from '../../api/endpoints.ts';
import { useMissingRole } from '../live/hooks.ts';
import { Problem } from './problem.tsx';
import { toastDone, toastProblem } from './toast.tsx';

/** Runs one thing at a time. @returns whether it runs, and how to begin it */
export function useAct(title: string): {
  readonly isBusy: boolean;
  readonly act: (work: () => Promise<unknown>, done?: string) => Promise<boolean>;
} {
  const [isBusy, setBusy] = useState(false);
  const act = async (work: () => Promise<unknown>, done?: string): Promise<boolean> => {
    setBusy(true);
    try {
      await work();
      if (done !== undefined) toastDone(done);
      return true;
    } catch (error) {
      toastProblem(`${title}: not done`, error);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, act };
}

export interface ActionProps extends Omit<ButtonProps, 'onClick' | 'disabled'> {
  readonly label: string;
  /** What it calls; whoever may not call it sees why the button is dim. */
  readonly endpoint: EndpointName;
  /** Why it cannot be done now, in words; undefined if it can. */
  readonly unless?: string | false | undefined;
  /** What it will do. Asks before, with these words, if there are any. */
  readonly confirm?: ReactNode;
  readonly run: () => Promise<unknown>;
  readonly done?: string;
}

export function Action({ label, endpoint, unless, confirm, run, done, ...button }: ActionProps) {
  const missing = useMissingRole(endpoint);
  const why = missing !== undefined ? `For people of the role ${missing}.` : unless || undefined;
  const [isAsking, setAsking] = useState(false);
  const { isBusy, act } = useAct(label);
  const press = () => (confirm === undefined ? void act(run, done) : setAsking(true));
  return (
    <>
      <Dimmed why={why}>
        {(dim) => (
          <Button size="xs" variant="default" loading={isBusy} {...button} onClick={press} {...dim}>
            {label}
          </Button>
        )}
      </Dimmed>
      {isAsking && (
        <Confirm label={label} run={run} done={done} onClose={() => setAsking(false)}>
          {confirm}
        </Confirm>
      )}
    </>
  );
}

/**
 * A button that cannot be pressed, with why: it keeps the focus and says it, unlike a disabled one.
 */
export function Dimmed({
  why,
  children,
}: {
  readonly why: string | undefined;
  readonly children: (dim: object) => ReactNode;
}) {
  const id = useId();
  if (why === undefined) return children({});
  const dim = {
    ...{ 'data-disabled': true, 'aria-disabled': true, 'aria-describedby': id },
    onClick: (event: { preventDefault(): void }) => event.preventDefault(),
  };
  return (
    <Tooltip label={why} multiline maw={320} events={{ hover: true, focus: true, touch: true }}>
      <span className="u-dimmed">
        {children(dim)}
        <span id={id} hidden>
          {why}
        </span>
      </span>
    </Tooltip>
  );
}

export function Confirm({
  label,
  children,
  run,
  done,
  onClose,
  isDangerous = false,
}: {
  readonly label: string;
  readonly children: ReactNode;
  readonly run: () => Promise<unknown>;
  readonly done?: string | undefined;
  readonly onClose: () => void;
  readonly isDangerous?: boolean;
}) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const go = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await run();
      if (done !== undefined) toastDone(done);
      onClose();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal opened onClose={onClose} title={label} centered>
      <Text component="div" size="sm">
        {children}
      </Text>
      {error !== undefined && (
        <div className="u-form-problem">
          <Problem error={error} />
        </div>
      )}
      <Group justify="flex-end" mt="lg" gap="xs">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button
          {...(isDangerous && { color: 'red.9' })}
          loading={isBusy}
          onClick={go}
          data-autofocus
        >
          {label}
        </Button>
      </Group>
    </Modal>
  );
}
