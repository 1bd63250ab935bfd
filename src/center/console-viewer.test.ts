/** What a viewer of a console sees whose center is away for a while: each byte once, and no other's. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Console, openConsole } from '../api/console.ts';
import { TestHost, until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

let center: InProcessCenter;
let host: TestHost;
let viewer: Console;
let id: string;
let shown = '';
const told: boolean[] = [];

before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
  host = await TestHost.join(center, 'a');
  await host.connect();
  const client = center.client();
  const params = { vm: 'web' };
  ({ id } = await client.call('createVm', { body: { name: 'web', image: 'tiny', host: 'a' } }));
  await client.call('startVm', { params, body: {} });
  await host.order('start');
  await host.ask(id, { kind: 'start', acceptStale: true });
  host.report(id, 'live', { generation: 1 });
  viewer = openConsole(center.client(), 'web', {
    onOutput: (bytes) => {
      shown += Buffer.from(bytes).toString();
    },
    onEnd: () => {},
    onCenter: (isThere) => told.push(isThere),
  });
});
after(async () => {
  viewer.close();
  host.close();
  await center.close();
  assert.deepEqual(center.bugs, []);
});

const write = (offset: number, text: string) =>
  host.send({
    ...{ kind: 'console', vm: id, offset: String(offset) },
    bytes: Buffer.from(text).toString('base64'),
  });
const shows = (text: string) => until(`"${text}"`, () => (shown === text ? true : undefined));

/** On the same port; `change` before anybody is back. */
async function restart(change: () => void = () => {}): Promise<void> {
  const listen = new URL(center.url).host;
  await center.center.close();
  await until('that all know it', () =>
    told.at(-1) === false && !host.isConnected ? true : undefined,
  );
  viewer.input(Buffer.from('typed meanwhile'));
  await center.start({ listen });
  change();
  await until('the host', () => (host.isConnected ? true : undefined));
}

test('it goes on where it was, with what the lost center had not passed on', async () => {
  write(0, 'one ');
  await shows('one ');
  await restart();
  write(0, 'one two ');
  await shows('one two ');
  const { bytes } = await host.order('consoleInput');
  assert.equal(Buffer.from(bytes, 'base64').toString(), 'typed meanwhile');
  assert.deepEqual(told, [false, true]);
});

test('a power-on that it has not seen begins anew', async () => {
  shown = '';
  await restart(() => {
    const { inventory } = center.center.cluster;
    inventory.putVm({ ...inventory.vm(id)!, consoleSince: 7 });
  });
  write(0, 'new');
  await shows('new');
});
