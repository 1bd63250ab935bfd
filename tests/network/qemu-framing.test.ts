/**
 * QEMU's own `stream` netdev as the other end of our framing: a QEMU without a machine, whose hub
 * joins the stream to its user network. We ask that network for its router's address by ARP, and
 * for ours by DHCP, and read the answers.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { ARP_REPLY, ARP_REQUEST, buildArp, parseArp } from '../../src/network/frames/arp.ts';
import {
  BOOTREQUEST,
  buildDhcp,
  DHCPDISCOVER,
  DHCPOFFER,
  messageType,
  OPTION,
  parseDhcp,
} from '../../src/network/frames/dhcp.ts';
import { emptyIpv4Header, parseIpv4 } from '../../src/network/frames/ipv4.ts';
import { buildUdp, parseUdp } from '../../src/network/frames/udp.ts';
import { FrameBatch, FrameDecoder } from '../../src/network/framing.ts';
import { formatIpv4, MAC_BROADCAST, parseIpv4Text } from '../../src/network/wire.ts';

const qemu = 'qemu-system-riscv64';

function missing(): string | false {
  try {
    execFileSync(qemu, ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return `needs ${qemu} (Debian package qemu-system-misc)`;
  }
}

test('frames to and from QEMU', { skip: missing(), timeout: 20_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'umbra-qemu-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'frames.sock');
  const server = net.createServer();
  server.listen(path);
  t.after(() => server.close());
  const connection = once(server, 'connection');
  const child = spawn(
    qemu,
    [
      ...['-machine', 'none', '-nodefaults', '-display', 'none'],
      ...['-netdev', `stream,id=s,server=off,addr.type=unix,addr.path=${path}`],
      ...['-netdev', 'user,id=u,restrict=on'],
      ...['-netdev', 'hubport,id=h1,hubid=0,netdev=s', '-netdev', 'hubport,id=h2,hubid=0,netdev=u'],
    ],
    { stdio: 'ignore' },
  );
  t.after(() => child.kill());
  const [socket] = (await connection) as [net.Socket];
  t.after(() => socket.destroy());

  const mac = 0x525400123456;
  const router = parseIpv4Text('10.0.2.2')!;
  const batch = new FrameBatch();
  batch.add(
    buildArp(MAC_BROADCAST, {
      operation: ARP_REQUEST,
      senderMac: mac,
      senderIp: parseIpv4Text('10.0.2.15')!,
      targetMac: 0,
      targetIp: router,
    }),
  );
  const discover = buildDhcp({
    operation: BOOTREQUEST,
    transaction: 77,
    broadcast: true,
    clientAddress: 0,
    yourAddress: 0,
    clientMac: mac,
    options: new Map([[OPTION.messageType, Uint8Array.of(DHCPDISCOVER)]]),
  });
  const envelope = { sourceMac: mac, destinationMac: MAC_BROADCAST, source: 0 };
  const ports = { destination: 0xffffffff, sourcePort: 68, destinationPort: 67 };
  for (const frame of buildUdp({ ...envelope, ...ports }, discover, 1500, 1)) batch.add(frame);
  socket.write(batch.take());

  const decoder = new FrameDecoder();
  const ip = emptyIpv4Header();
  let routerMac: number | undefined;
  let offered: number | undefined;
  while (routerMac === undefined || offered === undefined) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    decoder.push(chunk, (frame) => {
      const arp = parseArp(frame);
      if (arp?.operation === ARP_REPLY && arp.senderIp === router) routerMac = arp.senderMac;
      if (!parseIpv4(frame, 14, ip)) return;
      const datagram = parseUdp(frame, ip);
      const reply = datagram && parseDhcp(datagram.payload);
      if (reply && messageType(reply) === DHCPOFFER) offered = reply.yourAddress;
    });
  }
  assert.ok(routerMac > 0);
  assert.equal(formatIpv4(offered), '10.0.2.15');
});
