/** The network of a VM that runs alone, with a guest made of our own TCP. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { UmbraError } from '../base/errors.ts';
import { copyBytes, formatIpv4 } from '../network/wire.ts';
import { EchoGuest } from './echo-guest.fixture.ts';
import { until } from './ethernet.fixture.ts';
import { createLocalNetwork } from './local-network.ts';

const mac = 0x525400123456;
const published = [
  { protocol: 'tcp', gatewayPort: 0, guestPort: 7 },
  { protocol: 'udp', gatewayPort: 0, guestPort: 7 },
] as const;

test('published ports reach the guest, which gets its address by DHCP', async (t) => {
  const network = await createLocalNetwork({ mac, publish: published, dns: null });
  t.after(() => network.close());
  const guest = new EchoGuest(mac, (frame) => network.send(copyBytes(frame)));
  t.after(() => guest.close());
  let sending = false;
  network.onFrame = (frame) => {
    assert.equal(sending, false, 'no answer comes back into whoever sends');
    guest.receive(frame);
  };
  sending = true;
  guest.requestAddress();
  sending = false;
  await until('an address', () => guest.address !== 0);
  assert.equal(formatIpv4(guest.address), network.guestAddress);

  const socket = net.connect(network.portOf(published[0])!, '127.0.0.1');
  const bytes = new Uint8Array(1 << 20).map((_, at) => at * 3 + (at >> 8));
  const got: Buffer[] = [];
  socket.on('data', (chunk) => got.push(chunk));
  socket.end(bytes);
  await once(socket, 'end');
  assert.ok(Buffer.concat(got).equals(bytes));

  const sender = createSocket('udp4');
  t.after(() => sender.close());
  sender.send('hello', network.portOf(published[1])!, '127.0.0.1');
  const [answer] = (await once(sender, 'message')) as [Buffer];
  assert.equal(String(answer), 'hello');
});

test('a taken port is an error with a remedy, and nothing stays open', async () => {
  const taken = net.createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as net.AddressInfo;
  const publish = [{ protocol: 'tcp', gatewayPort: port, guestPort: 7 }] as const;
  await assert.rejects(createLocalNetwork({ mac, publish }), (error: unknown) => {
    assert.ok(error instanceof UmbraError);
    return error.code === 'port-taken';
  });
  taken.close();
});
