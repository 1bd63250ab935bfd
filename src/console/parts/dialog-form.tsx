/** A form in a dialogue: its fields, what the center refuses, and the two buttons. */
import { Button, Group, Modal } from '@mantine/core';
import type { ReactNode } from 'react';
import type { ApiForm } from './form.tsx';

export function DialogForm({
  title,
  submit,
  form,
  children,
  onClose,
}: {
  readonly title: string;
  /** What its button says. */
  readonly submit: string;
  readonly form: ApiForm;
  readonly children: ReactNode;
  readonly onClose: () => void;
}) {
  return (
    <Modal opened onClose={onClose} title={title}>
      <form {...form.form} className="u-stack">
        {children}
        {form.problemView}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={form.isBusy}>
            {submit}
          </Button>
        </Group>
      </form>
    </Modal>
  );
}
