/**
 * What people may do: each role may do all that the ones before it may.
 *
 * A viewer looks, an operator acts on VMs, an administrator on hosts, people and the cluster.
 */
export const roles = ['viewer', 'operator', 'administrator'] as const;
export type Role = (typeof roles)[number];

export function mayAct(as: Role, needed: Role): boolean {
  return roles.indexOf(as) >= roles.indexOf(needed);
}

export function lesserOf(a: Role, b: Role): Role {
  return mayAct(a, b) ? b : a;
}
