/** One record whole, in a dialogue: what a row had no room for. */
import { Code, Modal } from '@mantine/core';
import { type Fact, Facts } from './page.tsx';

export function Details({
  title,
  facts,
  data,
  onClose,
}: {
  readonly title: string;
  readonly facts: readonly (Fact | false | undefined)[];
  /** Shown as JSON, if there is something in it. */
  readonly data?: Readonly<Record<string, unknown>>;
  readonly onClose: () => void;
}) {
  return (
    <Modal opened onClose={onClose} title={title} size="lg">
      <div className="u-stack">
        <Facts facts={facts} />
        {data !== undefined && Object.keys(data).length > 0 && (
          <Code block className="u-command" tabIndex={0} aria-label="As data">
            {JSON.stringify(data, null, 2)}
          </Code>
        )}
      </div>
    </Modal>
  );
}
