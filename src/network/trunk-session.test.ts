/**
 * A failover as the network sees it, with everything real but sockets and time: two hosts' switches
 * and the gateway's, joined by trunks that carry encoded bytes; a guest's TCP (ours) that moves from
 * one host to the other in the middle of a stream, while its old self goes on sending.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { AddressLearner, Announcer } from './announcements.ts';
import { ARP_REPLY, buildArp, parseArp } from './frames/arp.ts';
import { destinationMac, ETHERTYPE_ARP, etherType, isGroupMac } from './frames/ethernet.ts';
import { emptyIpv4Header, parseIpv4 } from './frames/ipv4.ts';
import { emptySegment, parseTcp } from './frames/tcp-segment.ts';
import { FrameBatch } from './framing.ts';
import { Gateway } from './gateway/gateway.ts';
import { type Port, portGeneration, Switch } from './switch.ts';
import { TcpConnection } from './tcp/connection.ts';
import { TCP_OPTIONS } from './tcp/options.ts';
import { SegmentFrames } from './tcp/segment-frame.ts';
import { encodeTrunkMessage, type TrunkAnnouncement } from './trunk.ts';
import { TrunkSession } from './trunk-session.ts';
import { type Mac, parseIpv4Text } from './wire.ts';

const vm = 7;
const guestMac: Mac = 0x52540000000f;
const gatewayMac: Mac = 0x525400000001;
const guestIp = parseIpv4Text('10.7.0.15')!;
const gatewayIp = parseIpv4Text('10.7.0.1')!;
const names = ['red', 'blue', 'gateway'] as const;

/** Three switches in a full mesh; bytes take no time but travel only in `settle`. */
class Cluster {
  now = 0;
  readonly switches = names.map(() => new Switch());
  readonly sessions: TrunkSession[][] = [];
  readonly dead = new Set<number>();

  constructor() {
    for (const [here, name] of names.entries()) {
      this.sessions.push([]);
      for (const [there, peerName] of names.entries()) {
        if (there === here) continue;
        const announced = (message: TrunkAnnouncement): void => {
          if (name === 'gateway') this.onAnnounced?.(message);
        };
        const options = { name, peerName, announced };
        this.sessions[here]![there] = new TrunkSession(this.switches[here]!, options, 0);
      }
    }
  }

  /** What the gateway's process does on an announcement. */
  onAnnounced: ((message: TrunkAnnouncement) => void) | undefined;

  /** Carries bytes until nothing moves any more. */
  settle(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const here of [0, 1, 2]) {
        for (const there of [0, 1, 2]) {
          const batch = this.sessions[here]![there]?.batch;
          if (batch === undefined || batch.length === 0) continue;
          const bytes = batch.take();
          moved = true;
          if (this.dead.has(here) || this.dead.has(there)) continue;
          this.sessions[there]![here]!.receive(bytes, this.now);
        }
      }
    }
  }
}

test('a ping tells the round trip; the least of the last seconds counts', () => {
  const cluster = new Cluster();
  cluster.settle();
  const trunk = cluster.sessions[0]![1]!;
  const trip = (microseconds: number): number | undefined => {
    trunk.ping(cluster.now);
    cluster.now += microseconds;
    cluster.settle();
    return trunk.roundTripUs;
  };
  assert.equal(trunk.roundTripUs, undefined);
  assert.equal(trip(300), 300);
  assert.equal(trip(900), 300);
  cluster.now += 20_000_000;
  assert.equal(trip(700), 700, 'the former way is no more');
  trunk.ping(cluster.now);
  trunk.ping(cluster.now + 50);
  cluster.now += 150;
  cluster.settle();
  assert.equal(trunk.roundTripUs, 100, 'only the answer to the newest counts');
});

test('a stream through the gateway goes on when its guest goes live elsewhere', () => {
  const cluster = new Cluster();
  const ip = emptyIpv4Header();
  const segment = emptySegment();
  const frames = new SegmentFrames(1460);
  const learner = new AddressLearner();
  let port: Port | undefined;
  let host = 0;

  // The guest: the kernel's part of a machine that both hosts compute alike.
  const received: number[] = [];
  const sendFrame = (frame: Uint8Array): void => {
    learner.observe(frame);
    cluster.switches[host]!.receive(port!, frame, cluster.now);
  };
  const guest = new TcpConnection(
    TCP_OPTIONS,
    {
      send: (out, queue, offset, length) => {
        out.sourcePort = 22;
        out.destinationPort = peerPort;
        const envelope = {
          sourceMac: guestMac,
          destinationMac: gatewayMac,
          source: guestIp,
          destination: gatewayIp,
        };
        sendFrame(new Uint8Array(frames.write(envelope, out, queue, offset, length)));
      },
      established() {},
      data: (bytes) => {
        received.push(...bytes);
        guest.consumed(bytes.length);
      },
      end() {},
      writable() {},
      closed() {},
    },
    77,
  );
  let peerPort = 0;
  const deliver = (frame: Uint8Array): void => {
    if (destinationMac(frame) !== guestMac && !isGroupMac(destinationMac(frame))) return;
    if (etherType(frame) === ETHERTYPE_ARP) {
      const asked = parseArp(frame)!;
      if (asked.targetIp !== guestIp || asked.senderIp === guestIp) return;
      sendFrame(
        buildArp(asked.senderMac, {
          operation: ARP_REPLY,
          senderMac: guestMac,
          senderIp: guestIp,
          targetMac: asked.senderMac,
          targetIp: asked.senderIp,
        }),
      );
    } else if (parseIpv4(frame, 14, ip) && parseTcp(frame, ip, segment)) {
      if (guest.state === 'closed') {
        peerPort = segment.sourcePort;
        guest.listen(segment);
        guest.accept(cluster.now);
      } else {
        guest.receive(segment, frame, cluster.now);
      }
      guest.flush(cluster.now);
    }
  };

  // The gateway behind the third switch.
  const out: number[] = [];
  let gatewayPort: Port | undefined;
  const gateway = new Gateway(
    { mac: gatewayMac, address: gatewayIp, prefixLength: 24 },
    {
      frame: (frame) => cluster.switches[2]!.receive(gatewayPort!, frame, cluster.now),
      connect() {},
      data: (id, bytes) => {
        out.push(...bytes);
        gateway.consumed(id, bytes.length, cluster.now);
      },
      end() {},
      writable() {},
      closed: (_, why) => assert.fail(`the stream ended: ${why}`),
      datagram() {},
      flowClosed() {},
      random32: () => 4242,
    },
  );
  gatewayPort = cluster.switches[2]!.addPort(0, 0, {
    deliver: (frame) => gateway.receiveFrame(frame, cluster.now),
  });
  cluster.onAnnounced = ({ addresses }) => gateway.announced(addresses, cluster.now);
  const settle = (): void => {
    for (let round = 0; round < 4; round++) {
      cluster.settle();
      gateway.tick(cluster.now);
    }
  };

  const live = portGeneration(1, 3);
  const oldPort = cluster.switches[0]!.addPort(vm, live, { deliver });
  port = oldPort;
  const stream = gateway.open(guestIp, 22, 0)!;
  settle();
  assert.equal(guest.state, 'established');
  gateway.write(stream, Uint8Array.of(1, 2, 3), 0);
  guest.write(Uint8Array.of(9, 8), 0);
  settle();
  assert.deepEqual(
    [received, out],
    [
      [1, 2, 3],
      [9, 8],
    ],
  );

  // Red dies with a request on its way to it.
  cluster.dead.add(0);
  cluster.now = 50_000;
  gateway.write(stream, Uint8Array.of(4, 5), cluster.now);
  settle();
  assert.equal(received.length, 3);

  // Blue goes live: its port in a new generation, its switch tells the peers, then the LAN.
  cluster.now = 90_000;
  host = 1;
  const fresh = portGeneration(1, 4);
  port = cluster.switches[1]!.addPort(vm, fresh, { deliver });
  cluster.sessions[1]![2]!.announce(vm, fresh, learner.addresses());
  settle();
  assert.deepEqual(received, [1, 2, 3, 4, 5], 'the request was not sent again at once');
  const announcer = new Announcer(learner.addresses(), cluster.now);
  for (const frame of announcer.due(cluster.now)) sendFrame(frame);
  guest.write(Uint8Array.of(7), cluster.now);
  settle();
  assert.deepEqual(out, [9, 8, 7]);

  // Red was only cut off, and its old self sends: nobody listens, and red learns it is stale.
  cluster.dead.delete(0);
  cluster.sessions[1]![0]!.announce(vm, fresh, learner.addresses());
  const before = cluster.switches[2]!.counters.stale;
  const stale = buildArp(gatewayMac, {
    operation: ARP_REPLY,
    senderMac: guestMac,
    senderIp: guestIp,
    targetMac: gatewayMac,
    targetIp: gatewayIp,
  });
  cluster.switches[0]!.receive(oldPort, stale, cluster.now);
  settle();
  assert.equal(cluster.switches[2]!.counters.stale, before + 1);
  assert.ok(cluster.switches[0]!.isStale(vm, live));
  gateway.write(stream, Uint8Array.of(6), cluster.now);
  settle();
  assert.deepEqual(received, [1, 2, 3, 4, 5, 6]);
});

test('a trunk takes nothing before hello, and no hello of another name', () => {
  const session = () => new TrunkSession(new Switch(), { name: 'a', peerName: 'b' }, 0);
  const stream = (message: Parameters<typeof encodeTrunkMessage>[0]): Uint8Array => {
    const batch = new FrameBatch();
    batch.add(encodeTrunkMessage(message));
    return batch.take();
  };
  assert.throws(
    () => session().receive(stream({ kind: 'ping', number: 1 }), 0),
    /ping before hello/,
  );
  assert.throws(() => session().receive(stream({ kind: 'hello', name: 'c' }), 0), {
    code: 'trunk-name',
  });
  const open = session();
  open.receive(stream({ kind: 'hello', name: 'b' }), 5);
  assert.ok(open.isOpen);
  open.batch.take();
  open.receive(stream({ kind: 'ping', number: 8 }), 9);
  assert.equal(open.heardAt, 9);
  assert.ok(open.batch.length > 0, 'no answer to the ping');
});
