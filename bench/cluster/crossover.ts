/**
 * A crossover: of two VMs of one image one is protected and the other is not, both have their turns,
 * one after the other, and then they change places. A machine's speed drifts within a minute by more
 * than protection costs: so what is compared lies a second apart. What one VM has that the other has
 * not, such as where its pages lie, is in one period's ratio as it is and in the other's inverted: a
 * round's ratio, the geometric mean of the two, is without it.
 */
import { meanOfLeast } from '../statistics.ts';
import type { RedisVm } from './stage.ts';

/** The live copies that are compared. */
export type Copy = 'protected' | 'unprotected';
export type Copies<T> = Readonly<Record<Copy, T>>;

/** One VM protected beside one that is not, and the processes of their copies. */
export interface Places extends Copies<RedisVm> {
  readonly pids: Copies<number> & { readonly shadow: number };
}

/** Two periods: in the second the VMs have changed places. */
export type Round<Period> = readonly [Period, Period];

/**
 * @param act a period, whose number counts on through all rounds
 * @param text what a period tells of itself when it has ended
 */
export async function crossover<Period>(
  vms: readonly [RedisVm, RedisVm],
  { rounds, progress }: { readonly rounds: number; readonly progress: (line: string) => void },
  act: (places: Places, period: number) => Promise<Period>,
  text: (period: Period) => string,
): Promise<Round<Period>[]> {
  const period = async (number: number): Promise<Period> => {
    // One, other; other, one: neither is always the first.
    const first = [0, 1, 1, 0][number % 4]!;
    const [one, other] = [vms[first]!, vms[1 - first]!];
    const { primary, shadow } = await one.protect();
    const pids = { protected: primary, shadow, unprotected: await other.primaryPid() };
    const seen = await act({ protected: one, unprotected: other, pids }, number);
    progress(`period ${number + 1} of ${2 * rounds}: ${text(seen)}`);
    await one.unprotect();
    return seen;
  };
  const seen: Round<Period>[] = [];
  for (let round = 0; round < rounds; round++) {
    seen.push([await period(2 * round), await period(2 * round + 1)]);
  }
  return seen;
}

/** One after the other and the other way round, so often: what each side's turns have given. */
export async function inTurns<Side extends string, Turn>(
  turns: number,
  sides: Readonly<Record<Side, () => Promise<Turn>>>,
): Promise<Record<Side, Turn[]>> {
  const order = Object.keys(sides) as Side[];
  const seen = Object.fromEntries(order.map((side) => [side, []])) as unknown as Record<
    Side,
    Turn[]
  >;
  for (let turn = 0; turn < turns; turn++) {
    for (const side of turn % 2 === 0 ? order : order.toReversed()) {
      seen[side].push(await sides[side]());
    }
  }
  return seen;
}

/** What is left of a side's turns where a machine has stretches in which all of it is slow. */
const quietShare = 1 / 4;

/** Of times or costs, to which other users of a machine only ever add: the mean of the quietest turns. */
export const quiet = (values: readonly number[]): number => meanOfLeast(values, quietShare);

/** Protected over unprotected, of what each side's turns come to. */
export const over = <Turn>(
  sides: Copies<readonly Turn[]>,
  figure: (turns: readonly Turn[]) => number,
): number => figure(sides.protected) / figure(sides.unprotected);

/** A round's ratio, of those that its periods have: without what one VM has and the other has not. */
export const ratiosOf = <Period>(
  rounds: readonly Round<Period>[],
  ratio: (period: Period) => number,
): number[] => rounds.map(([first, second]) => Math.sqrt(ratio(first) * ratio(second)));
