/** The entry of a VM process, forked by the host's daemon; ends when the daemon does. */
import { flushCompileCache } from 'node:module';
import { UmbraError } from '../../base/errors.ts';
import type { FromVm, ToVm } from './protocol.ts';
import { VmProcess } from './vm-process.ts';

let vm: VmProcess | undefined;
const tell = (message: FromVm): void => {
  if (process.connected) process.send!(message);
};

/** Leaves once what was said has been sent. */
function leave(code: number): void {
  if (!process.connected) process.exit(code);
  setTimeout(() => process.exit(code), 50);
}

// The peer is to learn at once: sockets close now, at exit only behind the memory of the machine.
process.on('disconnect', () => {
  vm?.abandon();
  process.exit(0);
});
process.on('message', (message: ToVm) => {
  if (message.kind !== 'launch') {
    vm?.receive(message);
    return;
  }
  vm = new VmProcess(message, tell, () => leave(0));
  vm.start().catch((error: unknown) => {
    const known = error instanceof UmbraError;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (!known) console.error(text);
    tell({
      kind: 'failed',
      code: known ? error.code : 'vm-process-failed',
      message: known ? error.message : text,
      remedy: known ? error.remedy : 'This is a bug in Umbra; please report it with the log.',
    });
    leave(1);
  });
});

// For the next process, where what is compiled is kept: this one may be killed.
flushCompileCache();
