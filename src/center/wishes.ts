/**
 * What is wished of a VM's shadow, and which wishes have come true or have lost their meaning. Pure.
 *
 *   ft on                    a shadow anywhere
 *   suspended                none; its replica is kept for the resume
 *   moveShadowTo HOST        a shadow there: the old one is taken away first, since a primary serves
 *                            one shadow at a time
 *   moveTo HOST              a shadow there, protected or not; migration.ts then hands over to it
 *   restartShadow            no shadow until the present one has gone
 *
 * Wishes are records of the store: they outlive the center. Whoever made one need not be there any
 * more when it comes true.
 */
import type { Vm } from './inventory.ts';
import { liveOf, type Situation } from './protection.ts';

/** Whether a shadow is wanted at all. */
export const wantsShadow = (vm: Vm): boolean =>
  vm.moveTo !== undefined || (vm.ftWanted && vm.ftSuspended !== true);

/** Whether it counts as a protected one: against the limits per host. */
export const isProtected = ({ ftWanted, ftSuspended }: Vm): boolean =>
  ftWanted && ftSuspended !== true;

/** The host on which the shadow is wanted, if it matters; never the one where the VM is live. */
export function shadowWish(vm: Vm, liveHost: string): string | undefined {
  const wish = vm.moveTo ?? vm.moveShadowTo;
  return wish === liveHost ? undefined : wish;
}

/** @returns the VM without the wishes that are settled; the very same object if none is */
export function settle(situation: Situation): Vm {
  const { vm, record, hosts, copies } = situation;
  if (record === undefined || !hasWishes(vm)) return vm;
  const live = liveOf(situation);
  if (live === undefined) return withoutWishes(vm);
  const { host } = live.member;
  let next = vm;
  if (vm.moveTo === host) next = { ...next, moveTo: undefined };
  const target = hosts.find(({ id }) => id === vm.moveShadowTo);
  const isThere = !vm.restartShadow && record.eligibleShadow?.host === vm.moveShadowTo;
  const isMoot = vm.moveShadowTo === host || !isProtected(vm);
  if (vm.moveShadowTo !== undefined && (isThere || isMoot || !mayTake(target))) {
    next = { ...next, moveShadowTo: undefined };
  }
  const others = copies.filter((copy) => copy.host !== host);
  if (vm.restartShadow && record.eligibleShadow === undefined && others.length === 0) {
    next = { ...next, restartShadow: false };
  }
  return next;
}

const mayTake = (host: Situation['hosts'][number] | undefined): boolean =>
  host?.connected === true && !host.maintenance;

export const hasWishes = ({ moveTo, moveShadowTo, restartShadow }: Vm): boolean =>
  moveTo !== undefined || moveShadowTo !== undefined || restartShadow === true;

export const withoutWishes = (vm: Vm): Vm => ({
  ...vm,
  moveTo: undefined,
  moveShadowTo: undefined,
  restartShadow: false,
});

/** Why a VM has no shadow any more, by what people have asked for; `lost`: nobody has. */
export function shadowLossCause(
  vm: Vm,
): 'restart' | 'migrate-shadow' | 'migration' | 'not-wanted' | 'lost' {
  if (vm.restartShadow === true) return 'restart';
  if (vm.moveShadowTo !== undefined) return 'migrate-shadow';
  if (vm.moveTo !== undefined) return 'migration';
  return isProtected(vm) ? 'lost' : 'not-wanted';
}
