/** Words in a row that open the whole of it. */
import type { Tone } from './tone.ts';
import './plain-table.css';

export function TextButton({
  text,
  tone,
  onClick,
}: {
  readonly text: string;
  readonly tone?: Tone | undefined;
  readonly onClick: () => void;
}) {
  return (
    <button type="button" className="u-text-button" data-tone={tone} title={text} onClick={onClick}>
      {text}
    </button>
  );
}
