/**
 * The smallest guest that uses a network card: machine code, made with Umbra's own assembler, that
 * sets up the first virtio device with one receive and one transmit buffer, sends one frame, and
 * waits. The rings lie in RAM as a driver would have written them.
 */

import { type VirtConfiguration, virtMachineMaker } from '../../src/board/virt.ts';
import { assemble } from '../../src/isa/assemble.ts';
import type { Operands } from '../../src/isa/decode.ts';
import type { MachineMaker } from '../../src/machine/machine.ts';

const ram = 0x8000_0000;
/** Offsets in RAM: each queue's descriptors, available and used ring, then its buffer. */
export const receiveAt = 0x10000;
export const transmitAt = 0x20000;
const availableOffset = 0x400;
const usedOffset = 0x600;
const bufferOffset = 0x1000;
const headerBytes = 12;

const card = 0x1000_1000;
/** Registers of a virtio-mmio device (virtio 1.2, section 4.2.2) that a driver needs to start. */
export const register = {
  DriverFeatures: 0x20,
  DriverFeaturesSel: 0x24,
  QueueSel: 0x30,
  QueueNum: 0x38,
  QueueReady: 0x44,
  QueueNotify: 0x50,
  Status: 0x70,
  QueueDescLow: 0x80,
  QueueDriverLow: 0x90,
  QueueDeviceLow: 0xa0,
} as const;

const t0 = 5;
const t1 = 6;

/** Loads an unsigned 32-bit constant. */
function loadConstant(rd: number, value: number): number[] {
  const low = (value << 20) >> 20;
  const high = (value - low) | 0;
  return [
    assemble('lui', { rd, imm: high }),
    assemble('addiw', { rd, rs1: rd, imm: low }),
    assemble('slli', { rd, rs1: rd, imm: 32 }),
    assemble('srli', { rd, rs1: rd, imm: 32 }),
  ];
}

function storeWord(address: number, value: number): number[] {
  const operands: Partial<Operands> = { rs1: t0, rs2: t1, imm: 0 };
  return [...loadConstant(t0, address), ...loadConstant(t1, value), assemble('sw', operands)];
}

function program(): Uint8Array {
  const words: number[] = [];
  const set = (name: keyof typeof register, value: number): void => {
    words.push(...storeWord(card + register[name], value));
  };
  set('Status', 1 | 2);
  set('DriverFeaturesSel', 1);
  set('DriverFeatures', 1); // VIRTIO_F_VERSION_1
  set('DriverFeaturesSel', 0);
  set('DriverFeatures', 1 << 5); // VIRTIO_NET_F_MAC
  set('Status', 1 | 2 | 8);
  for (const [queue, at] of [receiveAt, transmitAt].entries()) {
    set('QueueSel', queue);
    set('QueueNum', 4);
    set('QueueDescLow', ram + at);
    set('QueueDriverLow', ram + at + availableOffset);
    set('QueueDeviceLow', ram + at + usedOffset);
    set('QueueReady', 1);
  }
  set('Status', 1 | 2 | 4 | 8);
  set('QueueNotify', 0);
  set('QueueNotify', 1);
  words.push(assemble('wfi'), assemble('jal', { rd: 0, imm: -4 }));
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true);
  return bytes;
}

/** A kernel image of the program and its rings, the frame already in the transmit buffer. */
function kernel(frame: Uint8Array): Uint8Array {
  const image = new Uint8Array(0x30000);
  const view = new DataView(image.buffer);
  image.set(program());
  const descriptor = (at: number, length: number, flags: number): void => {
    view.setBigUint64(at, BigInt(ram + at + bufferOffset), true);
    view.setUint32(at + 8, length, true);
    view.setUint16(at + 12, flags, true);
    view.setUint16(at + availableOffset + 2, 1, true);
  };
  const VIRTQ_DESC_F_WRITE = 2;
  descriptor(receiveAt, 2048, VIRTQ_DESC_F_WRITE);
  descriptor(transmitAt, headerBytes + frame.length, 0);
  image.set(frame, transmitAt + bufferOffset + headerBytes);
  return image;
}

export const guestMac = Uint8Array.of(0x52, 0x54, 0, 0, 0, 1);

/** Makers of machines that boot this guest; both copies of a pair use equal ones. */
export function guestThatSends(frame: Uint8Array): MachineMaker {
  const configuration: VirtConfiguration = {
    hartCount: 1,
    ramBytes: 16 << 20,
    kernel: kernel(frame),
    bootArguments: '',
    disks: [],
    macs: [guestMac],
    epochOffset: 0n,
    randomSeed: new Uint8Array(32),
  };
  return virtMachineMaker(configuration);
}

/** An Ethernet frame of some length from one MAC to another. */
export function ethernetFrame(to: Uint8Array, from: Uint8Array, text: string): Uint8Array {
  const frame = new Uint8Array(60);
  frame.set(to);
  frame.set(from, 6);
  frame.set([0x88, 0xb5], 12);
  frame.set(new TextEncoder().encode(text), 14);
  return frame;
}
