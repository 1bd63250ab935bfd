/**
 * What has happened to a VM between two of the arbiter's records: for events, and for what the
 * center takes up of it. Pure.
 *
 * The two need not be neighbours: a center that was away, or another one that leads from now on,
 * compares with the last record that was looked at.
 */
import { sameMember, type VmRecord } from '../lockstep/arbiter.ts';

/** Hosts by their ids. */
export type News =
  /** `resumed`: it continues from a saved state. */
  | { readonly kind: 'poweredOn'; readonly host: string; readonly resumed: boolean }
  | { readonly kind: 'failedOver'; readonly from: string; readonly host: string }
  | { readonly kind: 'shadowLost'; readonly host: string; readonly shadow: string }
  | { readonly kind: 'shadowEligible'; readonly host: string; readonly shadow: string }
  /** `saved`: the state from which it would go on. */
  | {
      readonly kind: 'stopped';
      readonly host: string;
      readonly isSuspended: boolean;
      readonly saved: string | undefined;
    };

/** @param before undefined: nothing has been looked at yet */
export function newsOf(before: VmRecord | undefined, after: VmRecord): News[] {
  const was = before?.state === 'live' ? before.live : undefined;
  const news: News[] = [];
  if (after.state !== 'live') {
    // Switched off; one that never was on has nothing to tell.
    const host = after.saved?.host ?? was?.host ?? after.currentReplicas[0];
    const saved = after.saved?.id;
    const isNew = before === undefined && after.generation === 0;
    if (
      host !== undefined &&
      !isNew &&
      (was !== undefined || before?.state !== after.state || before?.saved?.id !== saved)
    ) {
      news.push({ kind: 'stopped', host, isSuspended: after.state === 'suspended', saved });
    }
    return news;
  }
  const { host } = after.live!;
  const isSame = sameMember(was, after.live);
  const shadow = before?.eligibleShadow;
  if (was !== undefined && !isSame && sameMember(shadow, after.live)) {
    news.push({ kind: 'failedOver', from: was.host, host });
  } else if (!isSame) {
    news.push({ kind: 'poweredOn', host, resumed: after.saved !== undefined });
  } else if (shadow !== undefined && !sameMember(shadow, after.eligibleShadow)) {
    news.push({ kind: 'shadowLost', host, shadow: shadow.host });
  }
  const eligible = after.eligibleShadow;
  if (eligible !== undefined && !(isSame && sameMember(shadow, eligible))) {
    news.push({ kind: 'shadowEligible', host, shadow: eligible.host });
  }
  return news;
}
