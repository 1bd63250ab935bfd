/** The gateway's tables, each against a simple model or the rule it is to keep. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  BOOTREQUEST,
  DHCPACK,
  DHCPDECLINE,
  DHCPDISCOVER,
  DHCPNAK,
  DHCPOFFER,
  DHCPRELEASE,
  DHCPREQUEST,
  type DhcpMessage,
  messageType,
  OPTION,
} from '../frames/dhcp.ts';
import { ETHERTYPE_IPV4, writeEthernet } from '../frames/ethernet.ts';
import { emptyIpv4Header, PROTOCOL_UDP, parseIpv4, writeIpv4 } from '../frames/ipv4.ts';
import { buildUdp, parseUdp } from '../frames/udp.ts';
import { type Ipv4, type Mac, parseIpv4Text, write32 } from '../wire.ts';
import { Deadlines } from './deadlines.ts';
import { DhcpServer } from './dhcp-server.ts';
import { FourTuples } from './four-tuples.ts';
import { Fragments } from './fragments.ts';
import { Subnet } from './subnet.ts';

const gateway = parseIpv4Text('10.7.0.1')!;

function server(prefixLength = 24, reservations = new Map<Mac, Ipv4>()): DhcpServer {
  const subnet = new Subnet(gateway, prefixLength);
  return new DhcpServer({ subnet, leaseSeconds: 100, mtu: 1500, domain: 'lan', reservations });
}

function message(mac: Mac, type: number, requested?: Ipv4, clientAddress = 0): DhcpMessage {
  const options = new Map<number, Uint8Array>([[OPTION.messageType, Uint8Array.of(type)]]);
  if (requested !== undefined) {
    const bytes = new Uint8Array(4);
    write32(bytes, 0, requested);
    options.set(OPTION.requestedAddress, bytes);
  }
  const fixed = { operation: BOOTREQUEST, transaction: 1, broadcast: false, yourAddress: 0 };
  return { ...fixed, clientAddress, clientMac: mac, options };
}

/** Discovers and requests, as a client does. */
function lease(dhcp: DhcpServer, mac: Mac, now: number, wanted?: Ipv4): Ipv4 | undefined {
  const offer = dhcp.receive(message(mac, DHCPDISCOVER, wanted), now);
  if (offer === undefined) return undefined;
  assert.equal(messageType(offer), DHCPOFFER);
  const reply = dhcp.receive(message(mac, DHCPREQUEST, offer.yourAddress), now)!;
  assert.equal(messageType(reply), DHCPACK);
  return reply.yourAddress;
}

test('DHCP: reserved, kept, asked for, free, expired: in this order', () => {
  const reserved = gateway + 9;
  const dhcp = server(28, new Map([[1, reserved]]));
  assert.equal(lease(dhcp, 1, 0), reserved);
  assert.equal(lease(dhcp, 2, 0, gateway + 4), gateway + 4);
  assert.equal(lease(dhcp, 2, 0), gateway + 4, 'what it had');
  assert.equal(lease(dhcp, 3, 0, gateway + 4), gateway + 1, 'taken, so the first free');
  assert.notEqual(lease(dhcp, 4, 0, reserved), reserved);
  for (let mac = 5; mac < 14; mac++) assert.ok(lease(dhcp, mac, 1) !== undefined, `${mac}`);
  assert.equal(lease(dhcp, 50, 2), undefined, 'the subnet is full');
  dhcp.receive(message(7, DHCPRELEASE, undefined, dhcp.addressOf(7)!), 3);
  const freed = dhcp.addressOf(7);
  assert.equal(lease(dhcp, 50, 4), freed);
  assert.ok(lease(dhcp, 51, 200e6) !== undefined, 'leases end');
});

test('DHCP: an address of elsewhere is refused, one found in use is shunned', () => {
  const dhcp = server();
  const foreign = parseIpv4Text('192.168.1.5')!;
  const refusal = dhcp.receive(message(1, DHCPREQUEST, foreign), 0)!;
  assert.equal(messageType(refusal), DHCPNAK);
  const first = lease(dhcp, 1, 0)!;
  dhcp.receive(message(1, DHCPDECLINE, first), 1);
  assert.notEqual(lease(dhcp, 1, 2), first);
  // A client that still has an address from before the leases were lost keeps it.
  const known = dhcp.receive(message(8, DHCPREQUEST, gateway + 77), 3)!;
  assert.deepEqual([messageType(known), known.yourAddress], [DHCPACK, gateway + 77]);
});

test('DHCP: whatever clients do, no address has two holders', () => {
  const act = fc.record({
    mac: fc.integer({ min: 1, max: 20 }),
    type: fc.integer({ min: 0, max: 9 }),
    requested: fc.option(fc.integer({ min: gateway - 3, max: gateway + 16 }), { nil: undefined }),
    clientAddress: fc.constantFrom(0, gateway + 1, gateway + 2),
    pause: fc.nat(40_000_000),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60, size: 'max' }), (acts) => {
      const dhcp = server(28, new Map([[3, gateway + 5]]));
      let now = 0;
      for (const { mac, type, requested, clientAddress, pause } of acts) {
        now += pause;
        const reply = dhcp.receive(message(mac, type, requested, clientAddress), now);
        if (reply?.yourAddress) {
          assert.equal(dhcp.holderOf(reply.yourAddress, now), mac);
          assert.ok(new Subnet(gateway, 28).isGuest(reply.yourAddress));
          assert.equal(reply.yourAddress === gateway + 5, mac === 3);
        }
        const held = [...Array(21).keys()].flatMap((each) => dhcp.addressOf(each) ?? []);
        assert.equal(new Set(held).size, held.length);
      }
      const copy = server(28, new Map([[3, gateway + 5]]));
      copy.restore(dhcp.save(now), 0);
      for (let mac = 1; mac <= 20; mac++) assert.equal(copy.addressOf(mac), dhcp.addressOf(mac));
    }),
  );
});

test('deadlines come up in order, each at its latest time', () => {
  const act = fc.record({ item: fc.nat(5), deadline: fc.nat(100), pass: fc.boolean() });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 80, size: 'max' }), (acts) => {
      const deadlines = new Deadlines<{ deadline: number; scheduledAt: number }>();
      const items = Array.from({ length: 6 }, () => ({
        deadline: Number.POSITIVE_INFINITY,
        scheduledAt: Number.POSITIVE_INFINITY,
      }));
      let now = 0;
      for (const { item, deadline, pass } of acts) {
        if (!pass) {
          items[item]!.deadline = now + deadline;
          deadlines.update(items[item]!);
        } else {
          now += deadline >> 2;
          const expected = items.filter((each) => each.deadline <= now).length;
          let due = 0;
          for (let each = deadlines.due(now); each; each = deadlines.due(now)) {
            assert.ok(each.deadline <= now);
            each.deadline = Number.POSITIVE_INFINITY;
            due++;
          }
          assert.equal(due, expected);
        }
        assert.ok(deadlines.next <= Math.min(...items.map((each) => each.deadline)));
      }
    }),
  );
});

test('four-tuples are told apart and counted', () => {
  const tuple = fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2), fc.nat(2));
  fc.assert(
    fc.property(fc.array(fc.tuple(tuple, fc.boolean()), { maxLength: 60 }), (acts) => {
      const table = new FourTuples<number>();
      const model = new Map<string, number>();
      for (const [index, [key, add]] of acts.entries()) {
        if (add) {
          table.set(...key, index);
          model.set(key.join(), index);
        } else {
          table.delete(...key);
          model.delete(key.join());
        }
        assert.equal(table.size, model.size);
        assert.equal(table.get(...key), model.get(key.join()));
      }
    }),
  );
});

test('fragments in any order make the datagram; spoilt ones make nothing and are forgotten', () => {
  const envelope = { sourceMac: 1, destinationMac: 2, source: 3, destination: 4 };
  const ports = { sourcePort: 5, destinationPort: 6 };
  const ip = emptyIpv4Header();
  const add = (fragments: Fragments, frame: Uint8Array): Uint8Array | undefined => {
    assert.ok(parseIpv4(frame, 14, ip));
    return fragments.add(frame, ip, 0);
  };
  fc.assert(
    fc.property(
      fc.integer({ min: 2000, max: 9000 }),
      fc.nat(),
      fc.boolean(),
      (length, by, twice) => {
        const payload = Uint8Array.from({ length }, (_, i) => i * 7);
        const frames = buildUdp({ ...envelope, ...ports }, payload, 1500, 99);
        const turned = [
          ...frames.slice(by % frames.length),
          ...frames.slice(0, by % frames.length),
        ];
        if (twice) turned.unshift(turned[0]!);
        const fragments = new Fragments();
        const whole = turned.map((frame) => add(fragments, frame)).filter((frame) => frame);
        assert.equal(whole.length, 1);
        assert.ok(parseIpv4(whole[0]!, 14, ip));
        assert.deepEqual(parseUdp(whole[0]!, ip)!.payload, payload);
        assert.equal(fragments.size, 0);
      },
    ),
    { numRuns: 30 },
  );
  const part = fc.record({ at: fc.nat(12), length: fc.nat(30), more: fc.boolean() });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
      const fragments = new Fragments();
      for (const { at, length, more } of parts) {
        const frame = new Uint8Array(14 + 20 + length);
        writeEthernet(frame, 2, 1, ETHERTYPE_IPV4);
        writeIpv4(frame, 14, 3, 4, PROTOCOL_UDP, length, 9, at | (more ? 0x2000 : 0));
        add(fragments, frame);
        assert.ok(fragments.size <= 1);
      }
      fragments.expire(6_000_000);
      assert.equal(fragments.size, 0);
    }),
  );
});
