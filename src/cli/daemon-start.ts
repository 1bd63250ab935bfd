/**
 * Runs a host or a gateway in the foreground: says one line when it is there, ends on SIGTERM or
 * SIGINT, and with an error when the center will not have it.
 */
import type { UmbraError } from '../base/errors.ts';
import { privateFiles } from './secrets.ts';

interface Daemon {
  readonly id: string;
  readonly name: string;
  readonly trunkEndpoint: string;
  close(): Promise<void>;
}

/** @throws UmbraError why it could not start, or may not go on */
export async function runDaemon(
  kind: 'host' | 'gateway',
  start: (onRefused: (why: UmbraError) => void) => Promise<Daemon>,
): Promise<void> {
  privateFiles();
  let refuse: (why: UmbraError) => void = () => {};
  const refused = new Promise<UmbraError>((resolve) => {
    refuse = resolve;
  });
  const stopped = new Promise<undefined>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => resolve(undefined));
    }
  });
  const daemon = await start(refuse);
  console.log(`${kind} ${daemon.name} (${daemon.id}) is there, trunks at ${daemon.trunkEndpoint}`);
  const why = await Promise.race([refused, stopped]);
  await daemon.close();
  if (why !== undefined) throw why;
}
