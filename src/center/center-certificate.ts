/**
 * Keeps the center's own certificate from ending: the authority is in its hands, so it issues
 * itself another in time, at a start or while it runs. Connections that stand are not touched.
 */

import { X509Certificate } from 'node:crypto';
import type { Server } from 'node:https';
import { renewalDueAt } from '../api/renewal.ts';
import type { Authority, CenterTls } from './certificates.ts';

const lookMsMax = 60 * 60 * 1000;

/** @returns stops it */
export function keepCenterCertificate(
  server: Pick<Server, 'setSecureContext'>,
  authority: Authority,
  started: CenterTls,
  directory: string,
  onFailure: (error: unknown) => void,
): () => void {
  let tls = started;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    let inMs = lookMsMax;
    try {
      const next = await authority.center(directory);
      if (stopped) return;
      if (next.chain !== tls.chain) server.setSecureContext(options(next));
      tls = next;
      inMs = renewalDueAt(new X509Certificate(next.chain)) - Date.now();
    } catch (error) {
      onFailure(error);
    }
    timer = setTimeout(() => void look(), Math.max(100, Math.min(lookMsMax, inMs)));
    timer.unref();
  };
  void look();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

const options = ({ chain, key, ca }: CenterTls) =>
  ({ cert: chain, key, ca, minVersion: 'TLSv1.3' }) as const;
