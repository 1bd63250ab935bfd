/** Commands for a terminal, each with what it does and a button that copies it. */
import { Button, Code, CopyButton, Modal } from '@mantine/core';

export interface CommandText {
  readonly title: string;
  readonly what: string;
  readonly command: string;
}

export function CommandsDialog({
  title,
  commands,
  onClose,
}: {
  readonly title: string;
  readonly commands: readonly CommandText[];
  readonly onClose: () => void;
}) {
  return (
    <Modal opened onClose={onClose} title={title} size="lg">
      <div className="u-stack">
        {commands.map((each) => (
          <section key={each.title} aria-label={each.title}>
            <div className="u-panel-head">
              <h2>{each.title}</h2>
              <CopyCommand label={`Copy the ${each.title.toLowerCase()} command`} {...each} />
            </div>
            <p className="u-note">{each.what}</p>
            <Code block className="u-command" tabIndex={0} aria-label={`${each.title} command`}>
              {each.command}
            </Code>
          </section>
        ))}
      </div>
    </Modal>
  );
}

export function CopyCommand({
  label,
  command,
  fullWidth = false,
}: {
  readonly label: string;
  readonly command: string;
  readonly fullWidth?: boolean;
}) {
  return (
    <CopyButton value={command}>
      {({ copied, copy }) => (
        <Button variant="default" onClick={copy} title={command} fullWidth={fullWidth}>
          {copied ? 'Copied' : label}
        </Button>
      )}
    </CopyButton>
  );
}
