/**
 * An image from somebody's own kernel, initial RAM disk and disks: what a recipe makes (image.ts),
 * so that VMs, hosts and centers need not know the difference.
 *
 * The same files give the same image.json, and so the same digest. It is made in a hidden folder
 * and renamed when it is complete; one that is there is never replaced, since what it was made from
 * may be nowhere else.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { sha256File } from './cache.ts';
import { type Copied, type CopyOptions, importDisk, importFile } from './disk-file.ts';
import {
  type Image,
  type ImageDescription,
  type ImageFile,
  imagesFolder,
  isImageName,
  loadImage,
} from './image.ts';
import { alone } from './lock.ts';

export interface OwnFiles {
  readonly kernel: string;
  /** Without one the image has an empty one, which kernels take for none. */
  readonly initrd?: string | undefined;
  /** In the order in which the guest sees them. */
  readonly disks: readonly string[];
}

export interface ImportOptions extends Pick<CopyOptions, 'signal' | 'qemuImg'> {
  readonly home: string;
  /** By default `console=ttyS0`. */
  readonly append?: string | undefined;
  /** Default RAM in bytes. By default 256 MiB. */
  readonly memory?: number | undefined;
  /** @param fraction 0 to 1, of this file */
  readonly onProgress?: ((file: string, fraction: number) => void) | undefined;
}

/** SHA-256 over an image's `image.json`, by which centers and hosts know it. */
export type Digest = string;

const memoryDefault = 256 << 20;

export async function importImage(
  name: string,
  files: OwnFiles,
  options: ImportOptions,
): Promise<{ readonly image: Image; readonly digest: Digest }> {
  const { home, signal } = options;
  if (!isImageName(name)) {
    throw new UmbraError(
      'image-name',
      `"${name}" cannot be the name of an image`,
      'Use lower-case letters, digits and dashes, at most 63.',
    );
  }
  try {
    return await alone(home, () => make(name, files, options), { ...(signal && { signal }) });
  } catch (error) {
    if (signal?.aborted) {
      throw new UmbraError('image-import-cancelled', `the import of "${name}" was cancelled`, '');
    }
    throw diskFailure(error, home);
  }
}

async function make(
  name: string,
  files: OwnFiles,
  options: ImportOptions,
): Promise<{ readonly image: Image; readonly digest: Digest }> {
  const { home } = options;
  const final = join(imagesFolder(home), name);
  if (existsSync(final)) {
    throw new UmbraError(
      'image-exists',
      `there is an image "${name}" already, in ${final}`,
      `Choose another name, or remove that one: umbra image remove ${name}.`,
    );
  }
  const hidden = join(imagesFolder(home), `.${name}.importing`);
  await rm(hidden, { recursive: true, force: true });
  await mkdir(hidden, { recursive: true });
  try {
    const description = await write(name, files, hidden, options);
    await writeFile(join(hidden, 'image.json'), `${JSON.stringify(description, null, 2)}\n`);
    options.signal?.throwIfAborted();
    await rename(hidden, final);
  } finally {
    await rm(hidden, { recursive: true, force: true });
  }
  const digest = await sha256File(join(final, 'image.json'));
  return { image: await loadImage(home, name), digest };
}

async function write(
  name: string,
  { kernel, initrd, disks }: OwnFiles,
  folder: string,
  { append = 'console=ttyS0', memory = memoryDefault, onProgress, ...copying }: ImportOptions,
): Promise<ImageDescription> {
  const put = async (
    path: string,
    from: string,
    copy: (from: string, to: string, options: CopyOptions) => Promise<Copied>,
  ): Promise<ImageFile> => {
    const told = (fraction: number): void => onProgress?.(from, fraction);
    return { path, ...(await copy(from, join(folder, path), { ...copying, onProgress: told })) };
  };
  const fileCopier = (what: string) => (from: string, to: string, options: CopyOptions) =>
    importFile(what, from, to, options);
  const kernelFile = await put('Image', kernel, fileCopier('kernel'));
  // /dev/null is no file.
  if (initrd === undefined) await writeFile(join(folder, 'initrd'), '');
  const initrdFile =
    initrd === undefined
      ? { path: 'initrd', bytes: 0, sha256: await sha256File(join(folder, 'initrd')) }
      : await put('initrd', initrd, fileCopier('initial RAM disk'));
  const diskFiles: ImageFile[] = [];
  for (const [index, disk] of disks.entries()) {
    diskFiles.push(await put(`disk-${index}.raw`, disk, importDisk));
  }
  return {
    ...{ format: 1, name, summary: 'imported', architecture: 'riscv64' },
    ...{ kernel: kernelFile, initrd: initrdFile, disks: diskFiles },
    ...{ append, memory, ready: '', prompt: '', ports: [], recipe: '', packages: [] },
  };
}

/** What the operating system says about the home's disk, as an error with a remedy. */
function diskFailure(error: unknown, home: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof UmbraError) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const remedy = 'Free some, or choose another place with UMBRA_HOME.';
    return new UmbraError('image-disk-full', `no space is left in ${home}`, remedy, {
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EROFS') {
    const remedy = 'Choose a place that you may write to with UMBRA_HOME.';
    return new UmbraError('image-home-unwritable', `cannot write to ${home}: ${message}`, remedy, {
      cause: error,
    });
  }
  return error;
}
