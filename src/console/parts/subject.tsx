/** What something is about, as a link: a VM, or else a host, or else the cluster. */
import { Link } from 'wouter';

export function Subject({ vm, host }: { readonly vm?: unknown; readonly host?: unknown }) {
  if (typeof vm === 'string') return <Link href={`/vms/${vm}`}>{vm}</Link>;
  if (typeof host === 'string') return <Link href={`/hosts/${host}`}>{host}</Link>;
  return <span className="u-dim">cluster</span>;
}
