import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { MalformedBytes } from '../../base/bytes.ts';
import { ARP_REQUEST, buildArp, parseArp } from '../frames/arp.ts';
import { BOOTREQUEST, buildDhcp, DHCPDISCOVER, DHCPREQUEST, OPTION } from '../frames/dhcp.ts';
import { destinationMac, ETHERTYPE_ARP, etherType } from '../frames/ethernet.ts';
import { emptyIpv4Header, parseIpv4 } from '../frames/ipv4.ts';
import {
  ACK,
  emptySegment,
  FIN,
  parseTcp,
  RST,
  SYN,
  type TcpSegment,
} from '../frames/tcp-segment.ts';
import { buildUdp, parseUdp } from '../frames/udp.ts';
import { SegmentFrames } from '../tcp/segment-frame.ts';
import { SendQueue } from '../tcp/send-queue.ts';
import { type Ipv4, MAC_BROADCAST, type Mac, parseIpv4Text } from '../wire.ts';
import { Gateway, type GatewayConfig } from './gateway.ts';

const gatewayMac: Mac = 0x525400000001;
const guestMac: Mac = 0x52540000000f;
const gatewayIp = parseIpv4Text('10.7.0.1')!;
const guestIp = parseIpv4Text('10.7.0.15')!;
const outside = parseIpv4Text('192.0.2.7')!;

/** A gateway whose ports write down what was asked of them. */
class Bench {
  readonly gateway: Gateway;
  readonly frames: Uint8Array[] = [];
  readonly calls: string[] = [];
  now = 0;
  #random = 0;

  /** @param unpredictable false: initial sequence numbers are 0, so that hostile frames hit */
  constructor(config: Partial<GatewayConfig> = {}, unpredictable = true) {
    const note =
      (name: string) =>
      (...values: unknown[]): void => {
        const texts = values.map((value) => (value instanceof Uint8Array ? value.length : value));
        this.calls.push([name, ...texts].join(' '));
      };
    this.gateway = new Gateway(
      { mac: gatewayMac, address: gatewayIp, prefixLength: 24, ...config },
      {
        frame: (frame) => this.frames.push(new Uint8Array(frame)),
        connect: note('connect'),
        data: note('data'),
        end: note('end'),
        writable: note('writable'),
        closed: note('closed'),
        datagram: note('datagram'),
        flowClosed: note('flowClosed'),
        random32: () => {
          if (unpredictable) this.#random = (Math.imul(this.#random, 1103515245) + 12345) >>> 0;
          return this.#random;
        },
      },
    );
  }

  send(frame: Uint8Array): void {
    this.gateway.receiveFrame(frame, this.now);
    this.gateway.tick(this.now);
  }

  /** The segments that the gateway has sent since the last call. */
  segments(): TcpSegment[] {
    const ip = emptyIpv4Header();
    return this.frames.splice(0).flatMap((frame) => {
      const segment = emptySegment();
      return parseIpv4(frame, 14, ip) && parseTcp(frame, ip, segment) ? [segment] : [];
    });
  }
}

const segmentFrames = new SegmentFrames(1460);

function tcp(fields: Partial<TcpSegment>, payload = 0, destination: Ipv4 = outside): Uint8Array {
  const queue = new SendQueue();
  queue.push(new Uint8Array(payload));
  const envelope = {
    sourceMac: guestMac,
    destinationMac: gatewayMac,
    source: guestIp,
    destination,
  };
  const segment = { ...emptySegment(), sourcePort: 1000, destinationPort: 80, window: 0xffff };
  return new Uint8Array(
    segmentFrames.write(envelope, { ...segment, ...fields }, queue, 0, payload),
  );
}

function udp(destination: Ipv4, port: number, payload: Uint8Array, mac = gatewayMac): Uint8Array {
  return buildUdp(
    {
      sourceMac: guestMac,
      destinationMac: mac,
      source: mac === MAC_BROADCAST ? 0 : guestIp,
      destination,
      sourcePort: port === 67 ? 68 : 5000,
      destinationPort: port,
    },
    payload,
    1500,
    7,
  )[0]!;
}

function dhcp(type: number, requested?: Ipv4): Uint8Array {
  const options = new Map([[OPTION.messageType as number, Uint8Array.of(type)]]);
  if (requested !== undefined) {
    options.set(
      OPTION.requestedAddress,
      Uint8Array.of(requested >>> 24, requested >>> 16, requested >>> 8, requested),
    );
  }
  return buildDhcp({
    operation: BOOTREQUEST,
    transaction: 5,
    broadcast: false,
    clientAddress: 0,
    yourAddress: 0,
    clientMac: guestMac,
    options,
  });
}

const guestArp = buildArp(MAC_BROADCAST, {
  operation: ARP_REQUEST,
  senderMac: guestMac,
  senderIp: guestIp,
  targetMac: 0,
  targetIp: gatewayIp,
});

test('the guest is answered only after the host has connected', () => {
  const bench = new Bench();
  bench.send(tcp({ flags: SYN, sequence: 100, mss: 1460 }));
  assert.deepEqual(bench.calls, [`connect 1 ${outside} 80`]);
  assert.equal(bench.frames.length, 0);
  bench.send(tcp({ flags: SYN, sequence: 100, mss: 1460 }));
  assert.equal(bench.calls.length, 1, 'a SYN again is one connection still');
  bench.gateway.connected(1, 5);
  bench.gateway.tick(5);
  const [answer] = bench.segments();
  assert.equal(answer!.flags, SYN | ACK);
  assert.equal(answer!.acknowledgement, 101);
});

test('a refusal of the host is a reset for the guest', () => {
  const bench = new Bench();
  bench.send(tcp({ flags: SYN, sequence: 100 }));
  bench.gateway.refused(1, 'refused', 5);
  bench.gateway.tick(5);
  const [answer] = bench.segments();
  assert.deepEqual([answer!.flags, answer!.acknowledgement], [RST | ACK, 101]);
  assert.equal(bench.gateway.connections, 0);
});

test('a stray segment is reset; addresses that are nowhere outside are refused', () => {
  const bench = new Bench();
  bench.send(tcp({ flags: ACK, sequence: 1, acknowledgement: 77 }));
  assert.deepEqual(
    bench.segments().map(({ flags, sequence }) => [flags, sequence]),
    [[RST, 77]],
  );
  for (const text of ['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '10.7.0.44']) {
    bench.send(tcp({ flags: SYN }, 0, parseIpv4Text(text)!));
  }
  bench.send(tcp({ flags: SYN }, 0, gatewayIp));
  assert.deepEqual(bench.calls, []);
  assert.ok(bench.segments().every(({ flags }) => flags === (RST | ACK)));
});

test('a whole connection: data, ends, and the port used again', () => {
  const bench = new Bench();
  const { gateway } = bench;
  const open = (sequence: number): number => {
    bench.send(tcp({ flags: SYN, sequence, mss: 1460 }));
    const id = Number(bench.calls.at(-1)!.split(' ')[1]);
    gateway.connected(id, bench.now);
    gateway.tick(bench.now);
    const ours = bench.segments()[0]!.sequence + 1;
    bench.send(tcp({ flags: ACK, sequence: sequence + 1, acknowledgement: ours }));
    return ours;
  };
  const ours = open(100);
  bench.send(tcp({ flags: ACK, sequence: 101, acknowledgement: ours }, 1000));
  assert.equal(bench.calls.at(-1), 'data 1 1000');
  gateway.end(1, bench.now);
  assert.equal(bench.segments().at(-1)!.flags, FIN | ACK | 8);
  bench.send(tcp({ flags: ACK | FIN, sequence: 1101, acknowledgement: ours + 1 }));
  assert.deepEqual(bench.calls.slice(-2), ['end 1', 'closed 1 done']);
  assert.equal(gateway.connections, 1, 'TIME-WAIT');
  bench.segments();
  open(5000);
  assert.equal(bench.calls.at(-1), `connect 2 ${outside} 80`);
  gateway.tick(100e6);
  assert.equal(gateway.connections, 1);
});

test('a published port: the gateway asks where the guest is, then connects', () => {
  const bench = new Bench();
  const id = bench.gateway.open(guestIp, 22, 0);
  bench.gateway.tick(0);
  assert.equal(id, 1);
  const [ask] = bench.frames.splice(0);
  assert.equal(etherType(ask!), ETHERTYPE_ARP);
  assert.equal(parseArp(ask!)!.targetIp, guestIp);
  bench.send(guestArp);
  const [syn] = bench.segments();
  assert.deepEqual([syn!.flags, syn!.destinationPort], [SYN, 22]);
  assert.equal(bench.gateway.open(gatewayIp, 22, 0), undefined);
  assert.equal(bench.gateway.open(outside, 22, 0), undefined);
});

test('an announcement moves the guest and sends again what was lost', () => {
  const bench = new Bench();
  const { gateway } = bench;
  bench.send(guestArp);
  gateway.open(guestIp, 22, 0);
  const [syn] = bench.segments();
  const answer = { flags: SYN | ACK, sequence: 500, acknowledgement: syn!.sequence + 1 };
  const ports = { sourcePort: 22, destinationPort: syn!.sourcePort };
  bench.send(tcp({ ...answer, ...ports, mss: 1460 }, 0, gatewayIp));
  gateway.write(1, new Uint8Array(3000), 10);
  gateway.tick(10);
  assert.equal(bench.segments().length, 4);
  const elsewhere: Mac = guestMac + 1;
  gateway.announced([{ mac: elsewhere, ipv4: [guestIp], ipv6: [] }], 1000);
  gateway.tick(1000);
  assert.equal(bench.frames.length, 3);
  assert.ok(bench.frames.every((frame) => destinationMac(frame) === elsewhere));
  bench.frames.length = 0;
  gateway.announced([{ mac: elsewhere, ipv4: [guestIp], ipv6: [] }], 200_000);
  assert.equal(bench.frames.length, 3, 'the second round sends again');
});

test('DHCP: an address that stays, also over a restart; its holder alone is believed', () => {
  const first = new Bench();
  first.send(udp(0xffffffff, 67, dhcp(DHCPDISCOVER), MAC_BROADCAST));
  first.send(udp(0xffffffff, 67, dhcp(DHCPREQUEST, gatewayIp + 1), MAC_BROADCAST));
  const address = first.gateway.leaseOf(guestMac)!;
  assert.equal(address, gatewayIp + 1);
  assert.ok(first.gateway.takeLeasesChanged());
  assert.ok(!first.gateway.takeLeasesChanged());

  const second = new Bench();
  second.gateway.restoreLeases(first.gateway.saveLeases(first.now), 0);
  assert.equal(second.gateway.leaseOf(guestMac), address);
  const thief = buildArp(MAC_BROADCAST, {
    operation: ARP_REQUEST,
    senderMac: guestMac + 7,
    senderIp: address,
    targetMac: 0,
    targetIp: gatewayIp,
  });
  second.send(thief);
  second.frames.length = 0;
  second.gateway.open(address, 22, 0);
  assert.equal(etherType(second.frames[0]!), ETHERTYPE_ARP, 'the thief was believed');

  assert.throws(() => second.gateway.restoreLeases(Uint8Array.of(9, 9), 0), MalformedBytes);
});

test('UDP: flows are translated, answered, bounded and end', () => {
  const bench = new Bench({ flowsMax: 3, dnsForward: { address: outside, port: 5353 } });
  for (const port of [1, 2, 3, 4]) bench.send(udp(outside, port, new Uint8Array(9)));
  assert.deepEqual(bench.calls.slice(-2), ['flowClosed 1', `datagram 4 ${outside} 4 9`]);
  bench.gateway.datagram(2, new Uint8Array(3000), bench.now);
  assert.equal(bench.frames.length, 3, 'fragments of the answer');
  bench.frames.length = 0;
  bench.gateway.flowFailed(3);
  assert.equal(bench.frames.length, 1);
  bench.gateway.tick(200e6);
  assert.deepEqual(bench.calls.slice(-3), ['flowClosed 3', 'flowClosed 4', 'flowClosed 2']);
});

test('a published UDP port: the guest answers to the gateway, on the same flow', () => {
  const bench = new Bench();
  bench.send(guestArp);
  bench.frames.length = 0;
  const flow = bench.gateway.openFlow(guestIp, 5000, 40_000, 0)!;
  assert.equal(bench.gateway.openFlow(guestIp, 5000, 40_000, 0), flow);
  bench.gateway.datagram(flow, new Uint8Array(7), 0);
  const ip = emptyIpv4Header();
  assert.ok(parseIpv4(bench.frames[0]!, 14, ip));
  const { sourcePort, destinationPort } = parseUdp(bench.frames[0]!, ip)!;
  assert.deepEqual([sourcePort, destinationPort], [40_000, 5000]);
  bench.send(udp(gatewayIp, 40_000, new Uint8Array(8)));
  assert.equal(bench.calls.at(-1), `datagram ${flow} ${gatewayIp} 40000 8`);
});

test('DNS: known names are answered, others forwarded, and without a forwarder fail', () => {
  const query = Uint8Array.of(
    ...[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    ...[2, 0x44, 0x42, 3, 0x6c, 0x61, 0x6e, 0, 0, 1, 0, 1],
  );
  const known = new Bench({ domain: 'lan', names: new Map([['db', guestIp]]) });
  known.send(udp(gatewayIp, 53, query));
  const ip = emptyIpv4Header();
  const [answer] = known.frames;
  assert.ok(parseIpv4(answer!, 14, ip));
  assert.deepEqual([...parseUdp(answer!, ip)!.payload.slice(-4)], [10, 7, 0, 15]);
  const forwarding = new Bench({ dnsForward: { address: outside, port: 5353 } });
  forwarding.send(udp(gatewayIp, 53, query));
  assert.deepEqual(forwarding.calls, [`datagram 1 ${outside} 5353 24`]);
  const alone = new Bench();
  alone.send(udp(gatewayIp, 53, query));
  assert.ok(parseIpv4(alone.frames[0]!, 14, ip));
  assert.equal(parseUdp(alone.frames[0]!, ip)!.payload[3]! & 15, 2);
});

test('connections are bounded, in all and for each guest', () => {
  const bench = new Bench({ connectionsPerGuestMax: 10 });
  for (let port = 1; port < 100; port++) bench.send(tcp({ flags: SYN, sourcePort: port }));
  assert.equal(bench.gateway.connections, 10);
  bench.gateway.forgetGuest(guestIp, 0);
  bench.gateway.tick(0);
  assert.equal(bench.gateway.connections, 0);
  assert.equal(bench.calls.filter((call) => call.startsWith('closed')).length, 10);
});

/** Frames of every kind, whole or with some bytes changed and the end cut off. */
const hostileFrame: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc
          .record({
            flags: fc.oneof(fc.constantFrom(SYN, SYN, ACK, ACK, ACK, ACK | FIN), fc.nat(63)),
            // Such as fit a guest that began at 100 and a gateway that began at 0, and others.
            sequence: fc.oneof(
              { weight: 4, arbitrary: fc.constantFrom(100, 101) },
              fc.nat(3000),
              fc.integer(),
            ),
            acknowledgement: fc.oneof(
              { weight: 4, arbitrary: fc.constantFrom(1, 1, 2) },
              fc.nat(9000),
              fc.integer(),
            ),
            window: fc.nat(65_535),
            windowScale: fc.integer({ min: -1, max: 200 }),
            mss: fc.nat(65_535),
            sourcePort: fc.nat(1),
            payload: fc.nat(1460),
          })
          .map(({ payload, ...fields }) => tcp(fields, payload)),
      },
      fc.constantFrom(
        guestArp,
        udp(outside, 9, new Uint8Array(50)),
        udp(gatewayIp, 53, new Uint8Array(30).fill(1)),
        udp(0xffffffff, 67, dhcp(DHCPDISCOVER), MAC_BROADCAST),
        udp(0xffffffff, 67, dhcp(DHCPREQUEST, guestIp), MAC_BROADCAST),
      ),
      fc.uint8Array({ maxLength: 80 }),
    ),
    fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 3 }),
    fc.option(fc.nat(1500)),
    fc.nat(3),
  )
  .map(([whole, changes, length, mutate]) => {
    if (mutate > 0) return whole;
    const frame = whole.slice(0, length ?? whole.length);
    for (const [at, value] of changes) if (at < frame.length) frame[at] = value;
    return frame;
  });

const act = fc.oneof(
  { weight: 4, arbitrary: hostileFrame.map((frame) => (bench: Bench) => bench.send(frame)) },
  fc
    .tuple(
      fc.constantFrom(
        ...['connected', 'connected', 'connected', 'end', 'reset', 'write', 'write'],
        ...['consumed', 'refused', 'datagram'],
      ),
      fc.nat(1),
    )
    .map(([name, age]) => (bench: Bench) => {
      const { gateway, now } = bench;
      const ids = bench.calls.filter((call) => call.startsWith('connect '));
      const id = Math.max(1, ids.length - age);
      if (name === 'write') gateway.write(id, new Uint8Array(5000), now);
      else if (name === 'consumed') gateway.consumed(id, 1000, now);
      else if (name === 'refused') gateway.refused(id, 'refused', now);
      else if (name === 'datagram') gateway.datagram(id, new Uint8Array(2000), now);
      else gateway[name as 'connected' | 'end' | 'reset'](id, now);
    }),
  fc.nat(3_000_000).map((pause) => (bench: Bench) => {
    bench.now += pause;
    bench.gateway.tick(bench.now);
  }),
  fc.constant((bench: Bench) => void bench.gateway.open(guestIp, 22, bench.now)),
);

test('whatever guest and host do, in whatever order: nothing is thrown, streams end once', () => {
  let deep = 0;
  fc.assert(
    fc.property(fc.boolean(), fc.array(act, { maxLength: 80, size: 'max' }), (open, acts) => {
      const bench = new Bench({ dnsForward: { address: outside, port: 53 } }, false);
      if (open) {
        bench.send(tcp({ flags: SYN, sequence: 100, sourcePort: 1 }));
        bench.gateway.connected(1, 0);
        bench.send(tcp({ flags: ACK, sequence: 101, acknowledgement: 1, sourcePort: 1 }));
      }
      for (const each of acts) each(bench);
      if (bench.calls.some((call) => call.startsWith('data '))) deep++;
      const ends = bench.calls.filter((call) => call.startsWith('closed'));
      assert.equal(new Set(ends.map((call) => call.split(' ')[1])).size, ends.length);
      for (let now = bench.now; now < bench.now + 3600e6; now += 30e6) bench.gateway.tick(now);
    }),
    { numRuns: 300 },
  );
  assert.ok(deep > 20, `only ${deep} runs came as far as data`);
});
