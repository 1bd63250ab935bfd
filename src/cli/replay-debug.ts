/** `umbra replay --gdb`: a debugger over a recording. */
import { ReplayTarget } from '../debug/gdb/replay-target.ts';
import { Timeline } from '../debug/timeline.ts';
import { nowUs } from '../host/clock.ts';
import { GdbServer } from '../host/debug/gdb-server.ts';
import type { Recording } from '../host/recording/recording-reader.ts';
import type { Output } from '../machine/effects.ts';
import { parsePort } from './values.ts';

/** Until the debugger goes. */
export async function debugReplay(
  recording: Recording,
  port: string,
  from: bigint | undefined,
): Promise<void> {
  const outputs: { listener: ((output: Output) => void) | undefined } = { listener: undefined };
  const interruption = { wanted: false };
  const timeline = new Timeline(recording, {
    now: nowUs,
    output: (output) => outputs.listener?.(output),
    pause: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return interruption.wanted;
    },
  });
  if (from !== undefined) await timeline.seek(from);
  const gone = Promise.withResolvers<void>();
  const target = new ReplayTarget(timeline, recording, outputs, interruption, gone.resolve);
  const note = (text: string): void => console.error(`umbra: ${text}`);
  const gdb = await GdbServer.listen({ target, port: parsePort(port), note });
  note(`waiting for a debugger: target remote 127.0.0.1:${gdb.port}`);
  process.once('SIGINT', gone.resolve);
  process.once('SIGTERM', gone.resolve);
  await gone.promise;
  await gdb.close();
}
