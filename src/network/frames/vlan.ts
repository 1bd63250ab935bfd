/**
 * VLAN tags (IEEE 802.1Q): four bytes between the source address and the type of a frame, the
 * lower 12 bits of the last two being the VLAN's id. Inside a switch frames are plain and their
 * VLAN stands beside them; on trunks and uplinks they carry the tag.
 *
 * Id 0 is a priority tag and means no VLAN; 4095 is reserved and belongs to nobody.
 */
import { read16, write16 } from '../wire.ts';
import { ETHERNET_HEADER_BYTES, etherType } from './ethernet.ts';

/** The id of a VLAN, 1 to 4094, or 0 for frames without a tag. */
export type Vlan = number;

export const VLAN_MAX: Vlan = 4094;
export const VLAN_TAG_BYTES = 4;
export const ETHERTYPE_VLAN = 0x8100;
/** Tags of providers (802.1ad) and their predecessor: a second level, which nothing here speaks. */
const ETHERTYPES_OF_PROVIDERS: readonly number[] = [0x88a8, 0x9100];

const TAG_AT = 12;

export function isVlan(vlan: number): boolean {
  return Number.isInteger(vlan) && vlan >= 1 && vlan <= VLAN_MAX;
}

export function isTagged(frame: Uint8Array): boolean {
  return isTagType(etherType(frame));
}

export function isTagType(type: number): boolean {
  return type === ETHERTYPE_VLAN || ETHERTYPES_OF_PROVIDERS.includes(type);
}

/** The VLAN of a frame from a trunk or a LAN; undefined if its tag means nothing here. */
export function vlanOf(frame: Uint8Array): Vlan | undefined {
  const type = etherType(frame);
  if (type !== ETHERTYPE_VLAN) return ETHERTYPES_OF_PROVIDERS.includes(type) ? undefined : 0;
  if (frame.length < ETHERNET_HEADER_BYTES + VLAN_TAG_BYTES) return undefined;
  const vlan = read16(frame, TAG_AT + 2) & 0xfff;
  return vlan <= VLAN_MAX ? vlan : undefined;
}

/** A copy of a plain frame with the tag of `vlan`. */
export function addTag(frame: Uint8Array, vlan: Vlan): Uint8Array {
  const tagged = new Uint8Array(frame.length + VLAN_TAG_BYTES);
  tagged.set(frame.subarray(0, TAG_AT));
  write16(tagged, TAG_AT, ETHERTYPE_VLAN);
  write16(tagged, TAG_AT + 2, vlan);
  tagged.set(frame.subarray(TAG_AT), TAG_AT + VLAN_TAG_BYTES);
  return tagged;
}

/** Twin of `addTag`: a copy without the tag; a frame that has none is returned as it is. */
export function removeTag(frame: Uint8Array): Uint8Array {
  if (etherType(frame) !== ETHERTYPE_VLAN) return frame;
  const plain = new Uint8Array(frame.length - VLAN_TAG_BYTES);
  plain.set(frame.subarray(0, TAG_AT));
  plain.set(frame.subarray(TAG_AT + VLAN_TAG_BYTES), TAG_AT);
  return plain;
}
