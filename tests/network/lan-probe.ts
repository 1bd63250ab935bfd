/**
 * A station on a bridge that speaks in frames, tagged or not, run in the bridge's namespace as:
 * lan-probe.ts BRIDGE. For each message `[vlan, address]` of its parent it asks by ARP who has the
 * address, and says the MAC that answered in that VLAN, or null.
 */
import { TapDevice } from '../../src/host/uplink/tap-device.ts';
import { ARP_REPLY, ARP_REQUEST, buildArp, parseArp } from '../../src/network/frames/arp.ts';
import { addTag, removeTag, vlanOf } from '../../src/network/frames/vlan.ts';
import { formatMac, MAC_BROADCAST, parseIpv4Text } from '../../src/network/wire.ts';

const waitMsMax = 700;
const mac = 0x025500000001;
const ip = parseIpv4Text('10.99.0.202')!;
const device = TapDevice.open(process.argv[2]!);
const buffer = new Uint8Array(65_553);

async function whoHas(vlan: number, address: number): Promise<string | null> {
  const question = buildArp(MAC_BROADCAST, {
    operation: ARP_REQUEST,
    senderMac: mac,
    senderIp: ip,
    targetMac: 0,
    targetIp: address,
  });
  device.write(vlan === 0 ? question : addTag(question, vlan));
  const deadline = performance.now() + waitMsMax;
  while (performance.now() < deadline) {
    await device.readable(20);
    for (;;) {
      const length = device.read(buffer);
      if (length === 0) break;
      const frame = buffer.slice(0, length);
      const arp = vlanOf(frame) === vlan ? parseArp(removeTag(frame)) : undefined;
      if (arp?.operation === ARP_REPLY && arp.senderIp === address) return formatMac(arp.senderMac);
    }
  }
  return null;
}

process.on('message', ([vlan, address]: [number, string]) => {
  void whoHas(vlan, parseIpv4Text(address)!).then((answer) => process.send!(answer));
});
process.on('disconnect', () => process.exit(0));
