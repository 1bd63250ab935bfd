/**
 * From a recipe to an image: verified packages in, a folder with kernel, initramfs, disk templates
 * and image.json out.
 *
 * The same recipe and the same state of the archive give the same bytes. The image is made in a
 * hidden folder beside its place and renamed when it is complete, so whatever interrupts a build
 * leaves the previous image, or none, but never half of one.
 */
import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { sha256 } from './archive.ts';
import { sha256File } from './cache.ts';
import { writeCpio } from './cpio.ts';
import { Downloader } from './download.ts';
import { emptyExt4 } from './ext4.ts';
import { type Gathered, gather } from './gather.ts';
import {
  type Image,
  type ImageDescription,
  type ImageFile,
  imagesFolder,
  loadImage,
} from './image.ts';
import { alone } from './lock.ts';
import { megabytes, type Progress, type Report } from './progress.ts';
import type { Recipe, RecipeDisk } from './recipe.ts';
import { aptSources, debianKeyrings } from './sources.ts';

export interface BuildOptions {
  readonly home: string;
  /** Overrides the machine's apt sources. */
  readonly mirror?: string | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborts the build; nothing but the cache remains of it. */
  readonly signal?: AbortSignal | undefined;
  /** Armored or binary OpenPGP keys instead of the machine's Debian keyring. */
  readonly keyrings?: readonly Uint8Array[] | undefined;
  /** How the files of the image are written; tests let it fail. */
  readonly write?: ((path: string, bytes: Uint8Array | string) => Promise<void>) | undefined;
}

/** Builds an image and puts it in the place of an earlier one of its name. */
export async function buildImage(recipe: Recipe, options: BuildOptions): Promise<Image> {
  const { home, signal } = options;
  const report: Report = (step, done, total, text) =>
    options.onProgress?.({ step, done, total, text });
  const sources = aptSources(options.mirror);
  const keyrings = options.keyrings ?? debianKeyrings();
  const from = new Downloader(sources.proxies, signal);
  const work = async (): Promise<Image> => {
    const gathered = await gather(recipe, home, sources.mirrors, keyrings, from, report);
    signal?.throwIfAborted();
    const bytes = await place(recipe, gathered, options, report);
    report('done', bytes, bytes, `${recipe.name} is ready, ${megabytes(bytes)}`);
    return loadImage(home, recipe.name);
  };
  try {
    const onWait = (): void => report('wait', 0, 1, 'waiting for another build to finish');
    return await alone(home, work, { onWait, ...(signal && { signal }) });
  } catch (error) {
    throw signal?.aborted ? cancelled(recipe.name) : diskFailure(error, home);
  } finally {
    from.close();
  }
}

/** Writes the image under a hidden name, then puts it in its place. Returns its size. */
async function place(
  recipe: Recipe,
  gathered: Gathered,
  options: BuildOptions,
  report: Report,
): Promise<number> {
  const images = imagesFolder(options.home);
  const hidden = join(images, `.${recipe.name}.building`);
  await rm(hidden, { recursive: true, force: true });
  await mkdir(hidden, { recursive: true });
  try {
    const description = await writeImage(recipe, gathered, hidden, options, report);
    options.signal?.throwIfAborted();
    await publish(hidden, join(images, recipe.name));
    const files = [description.kernel, description.initrd, ...description.disks];
    return files.reduce((sum, file) => sum + file.bytes, 0);
  } finally {
    await rm(hidden, { recursive: true, force: true });
  }
}

async function writeImage(
  recipe: Recipe,
  { release, packages, kernel, root }: Gathered,
  folder: string,
  { write = writeFile }: BuildOptions,
  report: Report,
): Promise<ImageDescription> {
  const put = async (path: string, bytes: Uint8Array): Promise<ImageFile> => {
    report('write', 0, 1, `writing ${path}`);
    await write(join(folder, path), bytes);
    return { path, bytes: bytes.length, sha256: sha256(bytes) };
  };
  const { name, summary, append, memory, ready, prompt, ports } = recipe;
  const disks: ImageFile[] = [];
  for (const disk of recipe.disks) disks.push(await writeDisk(recipe, disk, folder));
  const description: ImageDescription = {
    format: 1,
    name,
    summary,
    architecture: 'riscv64',
    kernel: await put('Image', kernel),
    initrd: await put('initrd', writeCpio(root)),
    disks,
    append,
    memory,
    ready,
    prompt,
    ports,
    recipe: recipe.digest,
    release: { suite: release.suite, version: release.version, date: release.date },
    packages: packages.map((each) => ({
      name: each.name,
      version: each.version,
      sha256: each.sha256,
    })),
  };
  await write(join(folder, 'image.json'), `${JSON.stringify(description, null, 2)}\n`);
  return description;
}

/** An empty file system in a sparse file. */
async function writeDisk(recipe: Recipe, disk: RecipeDisk, folder: string): Promise<ImageFile> {
  const path = `${disk.name}.ext4`;
  const file = await open(join(folder, path), 'wx');
  try {
    await file.truncate(disk.bytes);
    for (const { offset, bytes } of emptyExt4(disk.bytes, disk.name, recipe.name + disk.name)) {
      await file.write(bytes, 0, bytes.length, offset);
    }
  } finally {
    await file.close();
  }
  return { path, bytes: disk.bytes, sha256: await sha256File(join(folder, path)) };
}

/** An existing image steps aside first: a folder cannot be renamed over a full one. */
async function publish(hidden: string, final: string): Promise<void> {
  const aside = `${hidden}.previous`;
  await rm(aside, { recursive: true, force: true });
  if (existsSync(final)) await rename(final, aside);
  await rename(hidden, final);
  await rm(aside, { recursive: true, force: true });
}

function cancelled(name: string): UmbraError {
  return new UmbraError(
    'image-build-cancelled',
    `the build of "${name}" was cancelled`,
    'Run it again: downloads continue where they stopped.',
  );
}

/** What the operating system says about a disk, as an error with a remedy. */
function diskFailure(error: unknown, home: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  const remedies: Readonly<Record<string, string>> = {
    ENOSPC: 'Free about 500 MB, or choose another place with UMBRA_HOME.',
    EDQUOT: 'Free about 500 MB of your quota, or choose another place with UMBRA_HOME.',
    EACCES: 'Choose a place that you may write to with UMBRA_HOME.',
    EROFS: 'Choose a place that can be written to with UMBRA_HOME.',
  };
  const remedy = remedies[code ?? ''];
  if (error instanceof UmbraError || remedy === undefined) return error;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  const what = full ? `no space is left in ${home}` : `cannot write to ${home}: ${message}`;
  return new UmbraError(full ? 'image-disk-full' : 'image-home-unwritable', what, remedy, {
    cause: error,
  });
}
