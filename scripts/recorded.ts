/** For screenshots: a Linux guest at a cluster of processes that has been recorded for a while. */
import { type Console, openConsole } from '../src/api/console.ts';
import { ProcessCluster } from '../tests/system/cluster.fixture.ts';
import { eventually } from '../tests/wait.fixture.ts';

const waitMsMax = 60_000;
const vm = 'web';
const params = { vm };
/** Each a moment behind the one before. */
const typed = [
  'uname -a; cat /proc/cpuinfo | head -4\n',
  'ping -c 3 10.86.0.1\n',
  'for i in 1 2 3 4 5; do dd if=/dev/zero bs=1M count=24 2>/dev/null | sha256sum; done\n',
  'ls -l /bin | head -8; free\n',
  'ping -c 2 10.86.0.1; date\n',
] as const;
const betweenMs = 2_500;

/** @returns with the VM `web`, its recording `night`, and another one that is under way */
export async function recordedCluster(): Promise<ProcessCluster> {
  const cluster = await ProcessCluster.start({ hosts: 3 });
  const { client } = cluster;
  await client.call('createVm', { body: { name: vm, image: 'tiny', host: 'host1' } });
  await client.call('startVm', { params, body: {} });
  let said = '';
  const console: Console = openConsole(client, vm, {
    onOutput: (bytes) => {
      said += Buffer.from(bytes).toString('latin1');
    },
    onEnd: () => {},
  });
  await eventually('the guest', waitMsMax, () => said.includes('umbra: tiny ready'));
  const ended = (task: string) =>
    eventually('the task', waitMsMax, async () =>
      (await client.call('showTask', { params: { task } })).ended === null ? undefined : true,
    );
  const record = async (name: string) => {
    const { id } = await client.call('startRecording', { params, body: { name } });
    await ended(id);
  };
  await record('night');
  await client.call('turnFtOn', { params });
  for (const line of typed) {
    console.input(Buffer.from(line));
    await new Promise((resolve) => setTimeout(resolve, betweenMs));
  }
  const recording = { vm, recording: 'night' };
  await ended((await client.call('stopRecording', { params: recording })).id);
  await ended((await client.call('replayRecording', { params: recording })).id);
  await record('morning');
  await client.call('setFlight', { params, body: { minutes: 10 } });
  console.close();
  return cluster;
}
