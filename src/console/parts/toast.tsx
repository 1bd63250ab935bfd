/** Short words on what has just happened; failures stay until they are closed. */
import { notifications } from '@mantine/notifications';
import { ProblemText } from './problem.tsx';

const readMs = 4_000;
const closing = { 'aria-label': 'Close' };

export function toastDone(text: string): void {
  notifications.show({
    message: text,
    color: 'teal',
    autoClose: readMs,
    withBorder: true,
    closeButtonProps: closing,
  });
}

export function toastProblem(title: string, error: unknown): void {
  notifications.show({
    title,
    message: <ProblemText error={error} />,
    color: 'red',
    autoClose: false,
    withBorder: true,
    role: 'alert',
    closeButtonProps: closing,
  });
}
