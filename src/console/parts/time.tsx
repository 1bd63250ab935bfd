import { exactTime, when } from './units.ts';

/** @param at RFC 3339 */
export function Time({ at }: { readonly at: string }) {
  return (
    <time dateTime={at} title={exactTime(at)} className="u-time">
      {when(at)}
    </time>
  );
}
