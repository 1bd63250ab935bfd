/** A center that has lost the lead and has it again remembers nothing of the first time. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '../api/client.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let client: Client;
let host: TestHost;
let id: string;
const params = { vm: 'web' };
const tenMinutesMs = 600_000;

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  client = center.client();
  host = await TestHost.join(center, 'a');
  await host.connect();
  ({ id } = await client.call('createVm', { body: { name: 'web', image: 'tiny', host: 'a' } }));
  await client.call('startVm', { params, body: {} });
  await host.order('start');
  await host.ask(id, { kind: 'start', acceptStale: true });
  host.report(id, 'live', { generation: 1 });
});
after(async () => {
  host.close();
  await center.close();
  assert.deepEqual(center.bugs, []);
});

const alarms = async (): Promise<string[]> =>
  (await client.call('listAlarms')).map(({ kind }) => kind).sort();
const alarmsAre = (expected: readonly string[]) =>
  until(`the alarms ${expected}`, async () =>
    String(await alarms()) === String(expected) ? true : undefined,
  );

test('what was said of a moment is not held against the next one', async () => {
  const { cluster } = center.center;
  for (let times = 0; times < 3; times++) {
    host.send({ kind: 'clock', unixMs: Date.now() + tenMinutesMs });
  }
  host.send({ kind: 'report', vm: id, report: { kind: 'arbiter-unreachable' } });
  host.send({ kind: 'report', vm: id, report: { kind: 'hand-over-refused', text: 'not now' } });
  host.send({ kind: 'console', vm: id, offset: '0', bytes: Buffer.from('old').toString('base64') });
  await alarmsAre(['arbiter-unreachable', 'host-clock-off']);
  const shown = (): string => {
    let text = '';
    cluster.console(id).watch((output) => {
      if (output !== 'poweredOn') text += Buffer.from(output.bytes).toString();
    })();
    return text;
  };
  assert.equal(shown(), 'old');

  cluster.resign();
  await until('the host has gone', () => (host.isConnected ? undefined : true));
  cluster.lead();
  await until('the host is back', () => (host.isConnected ? true : undefined));
  // The host has not spoken of its clock since, and its copy has reached the arbiter elsewhere.
  await alarmsAre([]);
  assert.equal(cluster.takeRefusedHandOver(id), undefined);
  assert.equal(shown(), '');
});
