/**
 * A guest for tests of VM processes, made with Umbra's own assembler: each tick of its clock it
 * says one console byte, now and then sends a frame, and writes a sector as long as there are
 * writes to do. All that it says is known beforehand: a byte by its offset, a frame by its number,
 * the disk by the number of writes.
 */
import { finisher } from '../../src/devices/syscon.ts';
import { Assembler, x } from '../machine/assembler.ts';
import { register } from '../trips/guest.fixture.ts';

const ram = 0x8000_0000;
const sysconBase = 0x10_0000;
const uart = 0x1000_0000;
const card = 0x1000_1000;
const disk = 0x1000_2000;
/** Offsets in RAM: descriptors, available ring, used ring, buffer. */
const transmitAt = 0x20000;
const requestsAt = 0x30000;
const availableOffset = 0x400;
const usedOffset = 0x600;
const bufferOffset = 0x1000;
const imageBytes = 0x40000;
const frameBytes = 60;
const netHeaderBytes = 12;
const sectorBytes = 512;

const csr = { sie: 0x104, stimecmp: 0x14d, time: 0xc01 } as const;
const STIE = 1 << 5;

export interface VmGuest {
  /** Between two console bytes. */
  readonly tickMicros: number;
  /** A frame every so many ticks, a power of two. */
  readonly ticksPerFrame: number;
  /** Sectors that are written, one a tick at most, the next when the last has been answered. */
  readonly writes: number;
  /** RAM that is written once at the beginning, so that the host has to have it. */
  readonly touchedBytes: number;
  /**
   * It keeps one number on its disk, in the first sector: what it finds there when it boots it counts
   * on from, in writes and in frames.
   */
  readonly resumes?: boolean;
  /** Behind so many ticks it spins with interrupts disabled, its timer armed; 0: never. */
  readonly hangsAfter?: number;
  /** Behind so many ticks it switches itself off for a failure; 0: never. */
  readonly failsAfter?: number;
}

export const defaultGuest: VmGuest = {
  tickMicros: 1000,
  ticksPerFrame: 4,
  writes: 0,
  touchedBytes: 0,
};

export const diskBytes = 256 * sectorBytes;
export const guestMac = '52:54:00:00:00:01';

export const consoleByteAt = (offset: number): number => 0x20 + (offset & 63);

/** Frames count from 0, in a field of 8 bytes behind the Ethernet header. */
export const frameNumber = (frame: Uint8Array): number =>
  Number(new DataView(frame.buffer, frame.byteOffset).getBigUint64(14, true));

/** What the disk holds in the end. */
export function diskAfter(writes: number): Buffer {
  const bytes = Buffer.alloc(diskBytes);
  for (let k = 0; k < writes; k++) {
    bytes.writeBigUInt64LE(BigInt(k + 1), (k & 255) * sectorBytes);
  }
  return bytes;
}

/** What the guest's memory says of its disk: writes that were answered, and asked for; modulo 2^16. */
export function requestsIn(read: (address: bigint, length: number) => Uint8Array): {
  readonly answered: number;
  readonly asked: number;
} {
  const u16 = (offset: number): number => {
    const bytes = read(BigInt(ram + requestsAt + offset), 2);
    return bytes[0]! | (bytes[1]! << 8);
  };
  return { answered: u16(usedOffset + 2), asked: u16(availableOffset + 2) };
}

const s = {
  ...{ tick: 8, frame: 9, write: 18, uart: 19, transmit: 20, requests: 21, wake: 22 },
  /** What was on the disk. */
  base: 23,
} as const;

export function vmGuestKernel(guest: VmGuest): Uint8Array {
  const image = new Uint8Array(imageBytes);
  image.set(program(guest));
  const view = new DataView(image.buffer);
  const descriptor = (ring: number, index: number, at: number, length: number, flags: number) => {
    view.setBigUint64(ring + 16 * index, BigInt(ram + at), true);
    view.setUint32(ring + 16 * index + 8, length, true);
    view.setUint16(ring + 16 * index + 12, flags, true);
    view.setUint16(ring + 16 * index + 14, index + 1, true);
  };
  const [VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE] = [1, 2];
  const frame = transmitAt + bufferOffset;
  descriptor(transmitAt, 0, frame, netHeaderBytes + frameBytes, 0);
  image.fill(0xff, frame + netHeaderBytes, frame + netHeaderBytes + 6);
  image.set([0x52, 0x54, 0, 0, 0, 1, 0x88, 0xb5], frame + netHeaderBytes + 6);
  const request = requestsAt + bufferOffset;
  const VIRTIO_BLK_T_OUT = 1;
  view.setUint32(request, VIRTIO_BLK_T_OUT, true);
  descriptor(requestsAt, 0, request, 16, VIRTQ_DESC_F_NEXT);
  descriptor(requestsAt, 1, request + 0x200, sectorBytes, VIRTQ_DESC_F_NEXT);
  descriptor(requestsAt, 2, request + 0x100, 1, VIRTQ_DESC_F_WRITE);
  return image;
}

function program(guest: VmGuest): Uint8Array {
  const {
    tickMicros,
    ticksPerFrame,
    writes,
    touchedBytes,
    resumes = false,
    hangsAfter = 0,
    failsAfter = 0,
  } = guest;
  const code = new Assembler(ram);
  device(code, card, 1, transmitAt, 1 << 5);
  if (writes > 0) device(code, disk, 0, requestsAt, 0);
  code.li(x.t0, STIE).csr('csrrs', csr.sie, { rd: 0, rs1: x.t0 });
  code.li(s.tick, 0).li(s.frame, 0).li(s.write, 0).li(s.uart, uart);
  code.li(s.transmit, ram + transmitAt).li(s.requests, ram + requestsAt);
  code.li(s.base, 0);
  if (resumes) readBase(code);
  if (touchedBytes > 0) {
    code
      .li(x.t0, ram + imageBytes)
      .li(x.t1, ram + imageBytes + touchedBytes)
      .li(x.t2, 4096);
    code.label('touch').op('sd', { rs1: x.t0, rs2: x.t0, imm: 0 });
    code.op('add', { rd: x.t0, rs1: x.t0, rs2: x.t2 });
    code.to('bltu', 'touch', { rs1: x.t0, rs2: x.t1 });
  }
  code.label('tick');
  code.csr('csrrs', csr.time, { rd: s.wake, rs1: 0 });
  code.li(x.t0, tickMicros * 10).op('add', { rd: s.wake, rs1: s.wake, rs2: x.t0 });
  code.csr('csrrw', csr.stimecmp, { rd: 0, rs1: s.wake });
  if (hangsAfter > 0) code.li(x.t0, hangsAfter).to('beq', 'hang', { rs1: s.tick, rs2: x.t0 });
  if (failsAfter > 0) code.li(x.t0, failsAfter).to('beq', 'fail', { rs1: s.tick, rs2: x.t0 });
  code.label('asleep').op('wfi').csr('csrrs', csr.time, { rd: x.t0, rs1: 0 });
  code.to('bltu', 'asleep', { rs1: x.t0, rs2: s.wake });
  // One byte to the console.
  code.op('andi', { rd: x.t0, rs1: s.tick, imm: 63 });
  code.op('addi', { rd: x.t0, rs1: x.t0, imm: 0x20 });
  code.op('sb', { rs1: s.uart, rs2: x.t0, imm: 0 });
  code.op('addi', { rd: s.tick, rs1: s.tick, imm: 1 });
  // A frame with its number.
  code.op('andi', { rd: x.t0, rs1: s.tick, imm: ticksPerFrame - 1 });
  code.to('bne', 'sent', { rs1: x.t0, rs2: 0 });
  code.li(x.t0, ram + transmitAt + bufferOffset + netHeaderBytes + 14);
  code.op('add', { rd: x.t2, rs1: s.frame, rs2: s.base });
  for (let byte = 0; byte < 8; byte++) {
    code.op('srli', { rd: x.t1, rs1: x.t2, imm: 8 * byte });
    code.op('sb', { rs1: x.t0, rs2: x.t1, imm: byte });
  }
  code.op('addi', { rd: s.frame, rs1: s.frame, imm: 1 });
  code.op('sh', { rs1: s.transmit, rs2: s.frame, imm: availableOffset + 2 });
  code.li(x.t0, card + register.QueueNotify).li(x.t1, 1);
  code.op('sw', { rs1: x.t0, rs2: x.t1, imm: 0 });
  code.label('sent');
  if (writes > 0) write(code, writes, resumes);
  code.to('jal', 'tick', { rd: 0 });
  code.label('hang').to('jal', 'hang', { rd: 0 });
  code.label('fail').li(x.t0, sysconBase).li(x.t1, finisher.fail);
  code.op('sw', { rs1: x.t0, rs2: x.t1, imm: 0 }).to('jal', 'hang', { rd: 0 });
  return code.finish();
}

const flagsOfData = 16 + 12;

/** One read of the first sector, waited for; the request is one of writing afterwards. */
function readBase(code: Assembler): void {
  const request = ram + requestsAt + bufferOffset;
  const [VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE, VIRTIO_BLK_T_OUT] = [1, 2, 1];
  code.li(x.t2, request).op('sw', { rs1: x.t2, rs2: 0, imm: 0 });
  code.li(x.t1, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
  code.op('sh', { rs1: s.requests, rs2: x.t1, imm: flagsOfData });
  code.li(s.write, 1).op('sh', { rs1: s.requests, rs2: s.write, imm: availableOffset + 2 });
  code.li(x.t0, disk + register.QueueNotify).op('sw', { rs1: x.t0, rs2: 0, imm: 0 });
  code.label('reading').op('lhu', { rd: x.t0, rs1: s.requests, imm: usedOffset + 2 });
  code.to('bne', 'reading', { rs1: x.t0, rs2: s.write });
  code.op('ld', { rd: s.base, rs1: x.t2, imm: 0x200 });
  code.li(x.t1, VIRTIO_BLK_T_OUT).op('sw', { rs1: x.t2, rs2: x.t1, imm: 0 });
  code.li(x.t1, VIRTQ_DESC_F_NEXT);
  code.op('sh', { rs1: s.requests, rs2: x.t1, imm: flagsOfData });
}

/** The next write, if the last one has been answered and there is one. */
function write(code: Assembler, writes: number, resumes: boolean): void {
  code.op('lhu', { rd: x.t0, rs1: s.requests, imm: usedOffset + 2 });
  code.li(x.t1, 0xffff).op('and', { rd: x.t1, rs1: s.write, rs2: x.t1 });
  code.to('bne', 'written', { rs1: x.t0, rs2: x.t1 });
  code.li(x.t0, writes).to('beq', 'written', { rs1: s.write, rs2: x.t0 });
  code.li(x.t2, ram + requestsAt + bufferOffset);
  code.op('andi', { rd: x.t0, rs1: s.write, imm: resumes ? 0 : 255 });
  code.op('sd', { rs1: x.t2, rs2: x.t0, imm: 8 });
  code.op('addi', { rd: s.write, rs1: s.write, imm: 1 });
  code.op('add', { rd: x.t1, rs1: s.write, rs2: s.base });
  code.op('sd', { rs1: x.t2, rs2: x.t1, imm: 0x200 });
  code.op('sh', { rs1: s.requests, rs2: s.write, imm: availableOffset + 2 });
  code.li(x.t0, disk + register.QueueNotify).op('sw', { rs1: x.t0, rs2: 0, imm: 0 });
  code.label('written');
}

/** Brings a virtio device up with one queue of four descriptors. */
function device(code: Assembler, at: number, queue: number, ring: number, features: number): void {
  const set = (name: keyof typeof register, value: number): void => {
    code.li(x.t0, at + register[name]).li(x.t1, value);
    code.op('sw', { rs1: x.t0, rs2: x.t1, imm: 0 });
  };
  set('Status', 1 | 2);
  set('DriverFeaturesSel', 1);
  set('DriverFeatures', 1); // VIRTIO_F_VERSION_1
  set('DriverFeaturesSel', 0);
  set('DriverFeatures', features);
  set('Status', 1 | 2 | 8);
  set('QueueSel', queue);
  set('QueueNum', 4);
  set('QueueDescLow', ram + ring);
  set('QueueDriverLow', ram + ring + availableOffset);
  set('QueueDeviceLow', ram + ring + usedOffset);
  set('QueueReady', 1);
  set('Status', 1 | 2 | 4 | 8);
}
