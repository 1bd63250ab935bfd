/**
 * Own kernels and disks on the command line: `umbra image import`, and `umbra vm create --kernel`,
 * its shorthand where this machine is the center's.
 *
 * The center takes images from UMBRA_HOME of its machine and keeps the bytes that a VM was created
 * from. So the shorthand imports, creates, and removes the image again. That the center has taken
 * those very files is told by their digest, not guessed from its address; the address only spares
 * copying disks for a center that is certainly elsewhere.
 */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { InvalidArgumentError, Option } from 'commander';
import type { Client } from '../api/client.ts';
import { umbraHome } from '../api/credentials.ts';
import type { VmView } from '../api/views.ts';
import { UmbraError } from '../base/errors.ts';
import { refuseUnusableKernel } from '../board/kernel.ts';
import { type Image, removeImage } from '../images/image.ts';
import { importImage } from '../images/import.ts';
import { ProgressLine } from './progress-line.ts';

/** As commander gives them. */
export interface OwnFileOptions {
  readonly kernel: string;
  readonly initrd?: string;
  readonly disk: readonly string[];
}

/** Of a machine's eight slots one has its network port, one its source of entropy. */
const disksMax = 6;

export const diskOption = (): Option =>
  new Option(
    '--disk <file>',
    'a disk: a raw file, or a qcow2 where qemu-img is installed; repeatable',
  )
    .default([], 'none')
    .argParser((path: string, all: readonly string[]) => {
      if (all.length < disksMax) return [...all, path];
      throw new InvalidArgumentError(`A VM has at most ${disksMax} disks.`);
    });

/** Checked, copied, and whole, in UMBRA_HOME of this machine. */
export async function importOwn(
  name: string,
  { kernel, initrd, disk }: OwnFileOptions,
  options: { readonly append?: string; readonly memory?: number; readonly quiet: boolean },
): Promise<{ readonly image: Image; readonly digest: string }> {
  checkKernel(kernel);
  const line = new ProgressLine(!options.quiet);
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt);
  try {
    const { append, memory } = options;
    const wish = { home: umbraHome(), append, memory, signal: interrupted.signal };
    return await importImage(
      name,
      { kernel, initrd, disks: disk },
      { ...wish, onProgress: (file, done) => line.show(`importing: ${file}`, done * 100, 100) },
    );
  } finally {
    line.end();
    process.removeListener('SIGINT', interrupt);
  }
}

/** Now rather than at the first start. */
function checkKernel(path: string): void {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch {
    // Said where it is copied.
    return;
  }
  refuseUnusableKernel(bytes);
}

/** @param create makes the VM of an image, and is to be refused if it has another digest */
export async function createFromOwn(
  client: Client,
  vm: string,
  files: OwnFileOptions,
  options: { readonly quiet: boolean },
  create: (image: { readonly image: string; readonly imageDigest: string }) => Promise<VmView>,
): Promise<VmView> {
  const { url } = client.wire;
  if (!(await mayBeHere(url))) throw elsewhere(vm, url, 'that is another machine');
  const { image, digest } = await importOwn(`${vm.slice(0, 59)}-own`, files, options);
  try {
    return await create({ image: image.name, imageDigest: digest });
  } catch (error) {
    const isOther = ['image-unknown', 'image-changed'].includes((error as UmbraError).code);
    if (!isOther) throw error;
    throw elsewhere(vm, url, `it does not see what is in ${umbraHome()}`);
  } finally {
    await removeImage(umbraHome(), image.name);
  }
}

/** Whether the address is one of this machine; who cannot be found out about may be. */
async function mayBeHere(url: string): Promise<boolean> {
  const name = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const found = await lookup(name, { all: true }).catch(() => undefined);
  if (found === undefined) return true;
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return found.some(
    ({ address }) =>
      address.startsWith('127.') || own.some((interface_) => interface_.address === address),
  );
}

function elsewhere(vm: string, url: string, why: string): UmbraError {
  return new UmbraError(
    'center-elsewhere',
    `--kernel takes files of the center's machine, and the center at ${url} is not here: ${why}`,
    "On the center's machine, with its UMBRA_HOME: umbra image import NAME --kernel FILE ... " +
      `Then: umbra vm create ${vm} --image NAME.`,
  );
}
