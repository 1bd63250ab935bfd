/**
 * Kernel files: Linux `Image` (Documentation/arch/riscv/boot-image-header.rst), RISC-V ELF, and
 * flat binaries. What is not for this machine is refused with the reason.
 */
import { UmbraError } from '../base/errors.ts';
import { dramBase } from '../devices/virt-map.ts';

export interface LoadedKernel {
  /** Where the kernel is entered, relative to the start of RAM. */
  readonly entryOffset: number;
  readonly segments: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  /** The first byte behind everything the kernel wants, relative to the start of RAM. */
  readonly endOffset: number;
}

const imageMagic = 0x05435352; // "RSC\x05", at byte 56
const elfMagic = 0x464c457f;
const EM_RISCV = 243;
const PT_LOAD = 1;

const gzipMagic = 0x8b1f;

function unusable(what: string): UmbraError {
  return new UmbraError(
    'kernel-unusable',
    `The kernel cannot be loaded: ${what}.`,
    'Give a 64-bit RISC-V kernel: an uncompressed Linux "Image", an ELF file or a flat binary.',
  );
}

/** @param ramBase physical address of RAM, to which ELF addresses are relative */
export function loadKernel(file: Uint8Array, ramBase: number): LoadedKernel {
  if (file.length < 64) throw unusable(`the file has only ${file.length} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (view.getUint32(0, true) === elfMagic) return loadElf(file, view, ramBase);
  if (view.getUint32(56, true) === imageMagic) return loadImage(file, view);
  if (view.getUint16(0, true) === gzipMagic) throw unusable('it is compressed with gzip');
  if (view.getUint16(0, true) === 0x5a4d) {
    throw unusable('it is an EFI program or an Image of another architecture');
  }
  return { entryOffset: 0, segments: [{ offset: 0, bytes: file }], endOffset: file.length };
}

/** Before anything is done with it. @throws kernel-unusable */
export function refuseUnusableKernel(file: Uint8Array): void {
  loadKernel(file, dramBase);
}

function loadImage(file: Uint8Array, view: DataView): LoadedKernel {
  const textOffset = Number(view.getBigUint64(8, true));
  const imageSize = Number(view.getBigUint64(16, true));
  const flags = view.getBigUint64(24, true);
  if ((flags & 1n) !== 0n) throw unusable('it is big-endian');
  if (textOffset % 4096 !== 0 || textOffset > 1 << 30) throw unusable('its header is damaged');
  if (imageSize < file.length / 2 || imageSize > 2 ** 31) {
    throw unusable(`its header promises ${imageSize} bytes where the file has ${file.length}`);
  }
  return {
    entryOffset: textOffset,
    segments: [{ offset: textOffset, bytes: file }],
    endOffset: textOffset + Math.max(imageSize, file.length),
  };
}

function loadElf(file: Uint8Array, view: DataView, ramBase: number): LoadedKernel {
  if (view.getUint8(4) !== 2) throw unusable('it is a 32-bit ELF file');
  const machine = view.getUint16(18, true);
  if (machine !== EM_RISCV) throw unusable(`it is an ELF file for machine ${machine}, not RISC-V`);
  const entry = Number(view.getBigUint64(24, true));
  const headersAt = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  const segments: { offset: number; bytes: Uint8Array; memoryBytes: number }[] = [];
  for (let index = 0; index < count; index++) {
    const at = headersAt + index * view.getUint16(54, true);
    if (at + 56 > file.length) throw unusable('it is truncated');
    if (view.getUint32(at, true) !== PT_LOAD) continue;
    const fileOffset = Number(view.getBigUint64(at + 8, true));
    const physical = Number(view.getBigUint64(at + 24, true));
    const fileBytes = Number(view.getBigUint64(at + 32, true));
    const memoryBytes = Number(view.getBigUint64(at + 40, true));
    if (fileOffset + fileBytes > file.length) throw unusable('it is truncated');
    if (physical < ramBase) throw unusable(`it wants to lie at 0x${physical.toString(16)}`);
    if (memoryBytes < fileBytes) throw unusable('its header is damaged');
    const bytes = file.subarray(fileOffset, fileOffset + fileBytes);
    segments.push({ offset: physical - ramBase, bytes, memoryBytes });
  }
  if (segments.length === 0) throw unusable('it has nothing to load');
  segments.sort((a, b) => a.offset - b.offset);
  let endOffset = 0;
  for (const { offset, memoryBytes } of segments) {
    if (offset < endOffset) throw unusable('its segments overlap');
    endOffset = offset + memoryBytes;
  }
  const entryOffset = entry - ramBase;
  if (entryOffset < 0 || entryOffset >= endOffset || entryOffset % 2 !== 0) {
    throw unusable(`it wants to be entered at 0x${entry.toString(16)}, where it has no code`);
  }
  return {
    entryOffset,
    segments: segments.map(({ offset, bytes }) => ({ offset, bytes })),
    endOffset,
  };
}
