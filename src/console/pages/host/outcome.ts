/** What a preview of maintenance comes to, in a sentence. Pure. */
import type { EvacuationView } from '../../../api/lifecycle-views.ts';
import type { Tone } from '../../parts/tone.ts';
import { plural } from '../../parts/units.ts';

export function outcomeOf(
  host: string,
  { moves }: Pick<EvacuationView, 'moves'>,
): { readonly tone: Tone; readonly text: string } {
  const stuck = moves.filter(({ to }) => to === null);
  const bare = moves.filter(({ to, shadow }) => to !== null && shadow !== null && !shadow.to);
  if (moves.length === 0) return { tone: 'good', text: `Nothing runs on ${host}.` };
  if (stuck.length > 0) {
    const what = `${plural(stuck.length, 'copy', 'copies')} of ${moves.length}`;
    return { tone: 'bad', text: `${what} could not be moved: ${host} would not become empty.` };
  }
  if (bare.length > 0) {
    const names = bare.map(({ vm }) => vm).join(', ');
    return {
      tone: 'warn',
      text: `All ${plural(moves.length, 'copy', 'copies')} would move, but without protection until there is room again: ${names}.`,
    };
  }
  const all = moves.length === 1 ? 'The one copy' : `All ${moves.length} copies`;
  return { tone: 'good', text: `${all} would move, and stay protected as wished.` };
}
