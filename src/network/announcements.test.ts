import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  AddressLearner,
  ANNOUNCEMENT_ROUNDS_US,
  Announcer,
  announcementFrames,
  mergeAddresses,
} from './announcements.ts';
import { ARP_REPLY, ARP_REQUEST, buildArp, parseArp } from './frames/arp.ts';
import { ETHERTYPE_ARP, ETHERTYPE_RARP, etherType, sourceMac } from './frames/ethernet.ts';
import { buildUnsolicitedAdvertisement, parseNeighbour } from './frames/ipv6.ts';
import { buildGroupReport } from './frames/mld.ts';
import { buildUdp } from './frames/udp.ts';
import { formatIpv6, MAC_BROADCAST, parseIpv4Text, sameBytes } from './wire.ts';

const guest = 0x525400aabbcc;
const address = parseIpv4Text('10.7.0.15')!;
const linkLocal = Uint8Array.of(
  0xfe,
  0x80,
  0,
  0,
  0,
  0,
  0,
  0,
  0x50,
  0x54,
  0,
  0xff,
  0xfe,
  0xaa,
  0xbb,
  0xcc,
);

const packetFrom = (source: number): Uint8Array =>
  buildUdp(
    {
      sourceMac: guest,
      destinationMac: 1,
      source,
      destination: 1,
      sourcePort: 1,
      destinationPort: 2,
    },
    new Uint8Array(4),
    1500,
    0,
  )[0]!;

const arpFrom = (senderIp: number, operation = ARP_REQUEST): Uint8Array =>
  buildArp(MAC_BROADCAST, { operation, senderMac: guest, senderIp, targetMac: 0, targetIp: 1 });

test('learns from ARP and neighbour discovery, and announces what it learned', () => {
  const learner = new AddressLearner();
  learner.observe(packetFrom(0));
  learner.observe(arpFrom(address, ARP_REPLY));
  learner.observe(buildUnsolicitedAdvertisement(guest, linkLocal));
  const [learned] = learner.addresses();
  assert.deepEqual(learned, { mac: guest, ipv4: [address], ipv6: [linkLocal] });

  const frames = announcementFrames(learner.addresses());
  assert.ok(frames.every((frame) => sourceMac(frame) === guest));
  assert.equal(etherType(frames[0]!), ETHERTYPE_RARP);
  assert.equal(etherType(frames[1]!), ETHERTYPE_ARP);
  const arp = parseArp(frames[1]!)!;
  assert.deepEqual([arp.senderMac, arp.senderIp, arp.targetIp], [guest, address, address]);
  assert.equal(formatIpv6(parseNeighbour(frames[2]!)!.target), 'fe80::5054:ff:feaa:bbcc');
  // Bridges that snoop learn behind which port neighbours' questions are to go.
  assert.deepEqual(frames[3], buildGroupReport(guest, [linkLocal]));
  assert.equal(frames.length, 4);
});

test('the source of packets counts only while the guest has not spoken for an address', () => {
  const learner = new AddressLearner();
  learner.observe(packetFrom(77 << 24));
  assert.deepEqual(learner.addresses()[0]!.ipv4, [77 << 24]);
  learner.observe(arpFrom(address));
  learner.observe(packetFrom(78 << 24));
  assert.deepEqual(learner.addresses()[0]!.ipv4, [address]);
});

test('a new learner goes on with what the old one knew', () => {
  const learner = new AddressLearner();
  learner.observe(arpFrom(address));
  const shadow = new AddressLearner();
  shadow.restore(learner.addresses());
  assert.deepEqual(shadow.addresses(), learner.addresses());
});

test('five rounds at their times; missed rounds are one', () => {
  const learner = new AddressLearner();
  learner.observe(arpFrom(address));
  const announcer = new Announcer(learner.addresses(), 1000);
  const sentAt: number[] = [];
  for (let now = 1000; announcer.nextAt !== undefined; now = announcer.nextAt ?? now) {
    assert.equal(announcer.due(now).length, 2);
    assert.equal(announcer.due(now).length, 0);
    sentAt.push(now - 1000);
  }
  assert.deepEqual(sentAt, ANNOUNCEMENT_ROUNDS_US);
  const late = new Announcer(learner.addresses(), 0);
  assert.equal(late.due(300_000).length, 2);
  assert.equal(late.nextAt, 450_000);
});

test('whatever a guest sends, learning is bounded and never throws', () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc
      .tuple(
        fc.constantFrom(arpFrom(address), buildUnsolicitedAdvertisement(guest, linkLocal)),
        fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 5 }),
        fc.nat(100),
      )
      .map(([frame, changes, length]) => {
        const bytes = frame.slice(0, length);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        return bytes;
      }),
  );
  const learner = new AddressLearner();
  fc.assert(
    fc.property(hostile, (frame) => {
      learner.observe(frame);
      const all = learner.addresses();
      assert.ok(all.length <= 8);
      assert.ok(all.every(({ ipv4, ipv6 }) => ipv4.length <= 16 && ipv6.length <= 16));
    }),
    { numRuns: 1000 },
  );
});

test('IPv6 addresses keep only one of each', () => {
  const learner = new AddressLearner();
  for (let i = 0; i < 3; i++) learner.observe(buildUnsolicitedAdvertisement(guest, linkLocal));
  const [first, ...rest] = learner.addresses()[0]!.ipv6;
  assert.ok(sameBytes(first!, linkLocal));
  assert.equal(rest.length, 0);
});

test('a new address is a discovery, the same one again is none', () => {
  const learner = new AddressLearner();
  for (const frame of [packetFrom(address), packetFrom(address + 1), arpFrom(address)]) {
    learner.observe(frame);
  }
  assert.equal(learner.discoveries, 2, 'the first source of a packet, and what it calls its own');
  learner.observe(arpFrom(address + 1));
  learner.observe(arpFrom(address));
  learner.observe(arpFrom(address + 1));
  assert.equal(learner.discoveries, 3);
  learner.observe(buildUnsolicitedAdvertisement(guest, linkLocal));
  learner.observe(buildUnsolicitedAdvertisement(guest, linkLocal));
  assert.equal(learner.discoveries, 4);
});

test('what two have learned is put together, each address once', () => {
  const earlier = [{ mac: guest, ipv4: [1, 2], ipv6: [linkLocal] }];
  const later = [
    { mac: guest, ipv4: [3, 1], ipv6: [Uint8Array.from(linkLocal)] },
    { mac: 7, ipv4: [4], ipv6: [] },
  ];
  assert.deepEqual(mergeAddresses(earlier, later), [
    { mac: guest, ipv4: [2, 3, 1], ipv6: [linkLocal] },
    { mac: 7, ipv4: [4], ipv6: [] },
  ]);
  assert.deepEqual(mergeAddresses([], earlier), earlier);
  const many = Array.from({ length: 30 }, (_, index) => ({ mac: 1, ipv4: [index], ipv6: [] }));
  assert.deepEqual(
    mergeAddresses(many, [])[0]!.ipv4,
    many.slice(-16).map(({ ipv4 }) => ipv4[0]),
  );
});
