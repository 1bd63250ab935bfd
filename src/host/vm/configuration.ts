/** From what the center says a VM is to the machine that both copies build. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { VmSpec } from '../../api/agent.ts';
import { assert } from '../../base/assert.ts';
import { type BootFiles, type VirtShape, virtMachineMaker } from '../../board/virt.ts';
import type { ImageDescription, ImageFile } from '../../images/image.ts';
import type { MachineMaker } from '../../machine/machine.ts';
import { parseMacText, writeMac } from '../../network/wire.ts';
import { hostEngine } from '../engine.ts';
import type { BootFile } from '../recording/machine-description.ts';
import type { Tier } from '../tiers.ts';
import { diskFiles } from './disk-place.ts';
import type { DiskFile } from './file-disk.ts';

export interface PreparedVm {
  readonly maker: MachineMaker;
  readonly shape: VirtShape;
  /** What it boots, by the names that a recording has for them. */
  readonly bootFiles: Readonly<Record<string, BootFile>>;
  /** The files of its disks in a folder. */
  readonly filesIn: (folder: string) => readonly DiskFile[];
}

/**
 * @param imageDirectory holds an image that has been verified
 * @param tier how this host executes it; the machine is the same whichever it is
 */
export async function prepareVm(
  spec: VmSpec,
  imageDirectory: string,
  tier: Tier,
): Promise<PreparedVm> {
  const text = await readFile(join(imageDirectory, 'image.json'), 'utf8');
  const image = JSON.parse(text) as ImageDescription;
  const shape: VirtShape = {
    hartCount: spec.cpus,
    ramBytes: spec.memoryBytes,
    bootArguments: spec.append ?? image.append,
    disks: spec.disks.map(({ bytes }) => bytes),
    macs: [macBytes(spec.mac)],
    epochOffset: BigInt(spec.epochOffset),
    randomSeed: Buffer.from(spec.randomSeed, 'hex'),
  };
  const filesIn = (folder: string): DiskFile[] =>
    diskFiles(spec, folder, (template) => join(imageDirectory, template));
  const bootFile = ({ path, sha256 }: ImageFile): BootFile => ({
    ...{ path: join(imageDirectory, path), sha256 },
  });
  const bootFiles = { kernel: bootFile(image.kernel), initrd: bootFile(image.initrd) };
  const readAgain = (): BootFiles => ({
    kernel: readFileSync(bootFiles.kernel.path),
    initrd: readFileSync(bootFiles.initrd.path),
  });
  const maker = virtMachineMaker({ ...shape, ...readAgain() }, hostEngine(tier), readAgain);
  return { maker, shape, bootFiles, filesIn };
}

export function macBytes(text: string): Uint8Array {
  const mac = parseMacText(text);
  assert(mac !== undefined, `not a MAC address: ${text}`);
  const bytes = new Uint8Array(6);
  writeMac(bytes, 0, mac);
  return bytes;
}
