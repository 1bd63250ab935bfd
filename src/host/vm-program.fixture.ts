/**
 * For tests: a program in the VM process's place. It says what it was told by way of reports, and
 * obeys just enough of the protocol to be started, ordered about, ended and lost.
 */
import type { FromVm, ToVm, VmLaunch } from './vm/protocol.ts';

let launch: VmLaunch | undefined;
let said = Buffer.alloc(0);
const tell = (message: FromVm): void => {
  process.send!(message);
};

function say(role: 'live' | 'shadow' | 'ended'): void {
  tell({
    kind: 'status',
    status: {
      vm: launch!.vm.id,
      pid: process.pid,
      process: `p${process.pid}`,
      role,
      count: '1',
      epoch: 1,
      generation: 1,
      ftState: 'notConfigured',
      lagMs: 0,
      logBytesSent: 0,
      fingerprintsCompared: 0,
      divergences: 0,
      ...(role === 'ended' && { ended: { kind: 'off', text: 'It was powered off.' } }),
    },
  });
}

process.on('disconnect', () => process.exit(0));
process.on('message', (message: ToVm) => {
  tell({ kind: 'report', report: { ...message } as Record<string, unknown> });
  switch (message.kind) {
    case 'launch':
      launch = message;
      console.log(`launched ${message.vm.id}`);
      if (message.vm.append === 'fail') {
        tell({ kind: 'failed', code: 'start-refused', message: 'No.', remedy: 'None.' });
        setTimeout(() => process.exit(1), 20);
      } else say(message.role.kind);
      break;
    case 'stop':
      say('ended');
      setTimeout(() => process.exit(0), 20);
      break;
    case 'handOver':
      tell({ kind: 'failed', code: 'hand-over-refused', message: 'Not now.', remedy: 'Later.' });
      break;
    case 'reset':
      process.exit(3);
      break;
    case 'dismiss':
      process.exit(0);
      break;
    case 'consoleInput':
      said = Buffer.concat([said, Buffer.from(message.bytes, 'base64')]);
      tell({ kind: 'console', offset: '0', bytes: message.bytes });
      break;
    case 'sayConsole':
      // What it says by itself meanwhile is in what it was asked for.
      tell({ kind: 'console', offset: '1', bytes: 'bm90IHlldA==' });
      tell({ kind: 'console', offset: '0', bytes: said.toString('base64'), isTail: true });
      break;
  }
});
