/** A dialogue around a form of one of the API's calls: fields, the center's refusal, two buttons. */
import { Button, Group, Modal } from '@mantine/core';
import type { ReactNode } from 'react';
import type { ApiForm } from './form.tsx';

export function FormDialog(props: {
  readonly title: string;
  readonly verb: string;
  readonly form: ApiForm;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly isDangerous?: boolean;
  readonly size?: 'md' | 'lg';
}) {
  const { title, verb, form, onClose, children, isDangerous = false, size = 'md' } = props;
  return (
    <Modal opened onClose={onClose} title={title} size={size}>
      <form {...form.form} className="u-stack">
        {children}
        {form.problemView}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={form.isBusy} {...(isDangerous && { color: 'red.9' })}>
            {verb}
          </Button>
        </Group>
      </form>
    </Modal>
  );
}
