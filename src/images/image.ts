/**
 * Images at rest: `<home>/images/<name>/` with `Image` (the kernel), `initrd`, disk templates and
 * `image.json`, which describes them and carries their hashes.
 *
 * A folder with an image's name is a whole image, always: it is made under a hidden name and
 * renamed when complete (build.ts, import.ts). Loading one verifies every file against its hash.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import { sha256File } from './cache.ts';

export interface ImageFile {
  /** Relative to the folder of the image. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** `image.json`. */
export interface ImageDescription {
  readonly format: 1;
  readonly name: string;
  readonly summary: string;
  readonly architecture: 'riscv64';
  readonly kernel: ImageFile;
  /** Empty where an imported image has none. */
  readonly initrd: ImageFile;
  /** Templates: a VM writes to a copy of its own. */
  readonly disks: readonly ImageFile[];
  readonly append: string;
  /** Default RAM in bytes. */
  readonly memory: number;
  readonly ready: string;
  readonly prompt: string;
  readonly ports: readonly number[];
  /** SHA-256 of the recipe; empty of an image that was imported. */
  readonly recipe: string;
  /** The state of Debian that it was built from, if it was. */
  readonly release?: { readonly suite: string; readonly version: string; readonly date: string };
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly sha256: string;
  }[];
}

/** An image that is there and whole. Paths are absolute. */
export interface Image extends ImageDescription {
  readonly folder: string;
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly diskPaths: readonly string[];
}

export const imagesFolder = (home: string): string => join(home, 'images');

/** Names are what recipes allow, so a name never leaves the folder of images. */
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;

export const isImageName = (name: string): boolean => namePattern.test(name);

/** What is there, by name; damaged ones are listed too, since only loading reads the files. */
export async function listImages(home: string): Promise<ImageDescription[]> {
  const folder = imagesFolder(home);
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder)).filter((name) => namePattern.test(name)).sort();
  const found: ImageDescription[] = [];
  for (const name of names) {
    if (existsSync(join(folder, name, 'image.json'))) found.push(await describe(home, name));
  }
  return found;
}

/** The image, every file verified. */
export async function loadImage(home: string, name: string): Promise<Image> {
  const description = await describe(home, name);
  const folder = join(imagesFolder(home), name);
  const { kernel, initrd, disks } = description;
  await Promise.all([kernel, initrd, ...disks].map((file) => verify(folder, name, file)));
  return {
    ...description,
    folder,
    kernelPath: join(folder, kernel.path),
    initrdPath: join(folder, initrd.path),
    diskPaths: disks.map((disk) => join(folder, disk.path)),
  };
}

/** Forgets an image. VMs that have opened its files keep them. */
export async function removeImage(home: string, name: string): Promise<void> {
  const folder = join(imagesFolder(home), name);
  if (!namePattern.test(name) || !existsSync(folder)) throw await unknownImage(home, name);
  const aside = join(imagesFolder(home), `.${name}.removed-${process.pid}`);
  await rename(folder, aside);
  await rm(aside, { recursive: true, force: true });
}

async function describe(home: string, name: string): Promise<ImageDescription> {
  const path = join(imagesFolder(home), name, 'image.json');
  if (!namePattern.test(name) || !existsSync(path)) throw await unknownImage(home, name);
  try {
    const description = JSON.parse(await readFile(path, 'utf8')) as ImageDescription;
    if (description.format === 1) return description;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
  }
  throw damaged(name, `${path} is not a description that this version understands`);
}

async function verify(folder: string, name: string, file: ImageFile): Promise<void> {
  const path = join(folder, file.path);
  const size = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  if (size === undefined) throw damaged(name, `its file ${file.path} is missing`);
  if (size !== file.bytes || (await sha256File(path)) !== file.sha256) {
    throw damaged(name, `its file ${file.path} is not the one that was built`);
  }
}

async function unknownImage(home: string, name: string): Promise<UmbraError> {
  const known = (await listImages(home)).map((image) => image.name);
  const list = known.length === 0 ? 'there are none yet' : `there are ${known.join(', ')}`;
  return new UmbraError(
    'image-unknown',
    `there is no image "${name}" (${list})`,
    `Build it: umbra image build ${namePattern.test(name) ? name : 'NAME'}.`,
  );
}

function damaged(name: string, why: string): UmbraError {
  return new UmbraError(
    'image-damaged',
    `the image "${name}" is damaged: ${why}`,
    `Build it again: umbra image build ${name}.`,
  );
}
