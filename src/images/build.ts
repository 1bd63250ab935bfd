/**
 * From a recipe to an image: verified packages in, a folder with kernel, initramfs, disk templates
 * and image.json out.
 *
 * The same recipe and the same state of the archive give the same bytes. The image is made in a
 * hidden folder beside its place and renamed when it is complete, so whatever interrupts a build
 * leaves the previous image, or none, but never half of one.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UmbraError } from '../base/errors.ts';
import {
  indexFile,
  openRelease,
  type Package,
  packageFile,
  type Release,
  readIndex,
  sha256,
} from './archive.ts';
import { linkApplets } from './busybox.ts';
import { Cache } from './cache.ts';
import { writeCpio } from './cpio.ts';
import { unpackDeb } from './deb.ts';
import { Downloader } from './download.ts';
import {
  type Image,
  type ImageDescription,
  type ImageFile,
  imagesFolder,
  loadImage,
} from './image.ts';
import { keepOnly } from './keep.ts';
import { alone } from './lock.ts';
import { addModules } from './modules.ts';
import type { Recipe } from './recipe.ts';
import { demands, PackageIndex } from './resolve.ts';
import { aptSources, debianKeyrings } from './sources.ts';
import { Tree } from './tree.ts';

export interface Progress {
  readonly step: 'wait' | 'release' | 'index' | 'packages' | 'unpack' | 'write' | 'done';
  /** Bytes of a download, or things done; `total` in the same unit. */
  readonly done: number;
  readonly total: number;
  /** One line for a terminal. */
  readonly text: string;
}

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

type Report = (step: Progress['step'], done: number, total: number, text: string) => void;

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

interface Gathered {
  readonly release: Release;
  readonly packages: readonly Package[];
  readonly kernel: Uint8Array;
  readonly root: Tree;
}

/** Everything that goes into the image, verified and in memory. */
async function gather(
  recipe: Recipe,
  home: string,
  mirrors: readonly string[],
  keyrings: readonly Uint8Array[],
  from: Downloader,
  report: Report,
): Promise<Gathered> {
  const cache = new Cache(home);
  report('release', 0, 1, `asking for Debian ${recipe.suite}`);
  const release = await openRelease(mirrors, recipe.suite, keyrings, from);
  const counted = counter(report, 'index', indexFile(release).bytes, 'package index');
  const index = new PackageIndex(await readIndex(release, cache, from, counted));

  const kernelPackage = kernelOf(index, recipe.kernel);
  const userland = index.closure(recipe.packages);
  const packages = [kernelPackage, ...userland.filter((each) => each.name !== kernelPackage.name)];
  const total = packages.reduce((sum, each) => sum + each.bytes, 0);
  const onBytes = counter(report, 'packages', total, `${packages.length} packages`);
  const fetched = packages.map((each) => cache.fetch(packageFile(release, each), from, onBytes));
  const paths = await allOrFirstFailure(fetched);

  const kernelTree = new Tree();
  const root = new Tree();
  for (const [at, each] of packages.entries()) {
    report('unpack', at, packages.length, `unpacking ${each.name}`);
    const isKernel = each === kernelPackage;
    const wants = isKernel ? isKernelFile : isNotDocumentation;
    await unpackDeb(paths[at]!, `the package ${each.name}`, isKernel ? kernelTree : root, wants);
  }
  await furnish(root, recipe, kernelTree);
  return { release, packages, kernel: kernelImage(kernelTree, kernelPackage), root };
}

/** What the packages do not bring: applet links, modules, the recipe's own files, mount points. */
async function furnish(root: Tree, recipe: Recipe, kernel: Tree): Promise<void> {
  if (recipe.keep.length > 0) keepOnly(root, recipe.keep);
  linkApplets(root);
  await addModules(kernel, recipe.modules, root);
  for (const name of ['dev', 'proc', 'sys', 'run', 'root', 'tmp']) root.folder(`/${name}`);
  // The kernel opens the console for the first program before anything is mounted.
  root.device('/dev/console', 5, 1);
  for (const { path, text, mode } of recipe.files) root.file(path, text, mode);
}

const isKernelFile = (path: string): boolean => /^\/boot\/vmlinu|\.ko(\.\w+)?$/.test(path);
const isNotDocumentation = (path: string): boolean =>
  !/^\/usr\/share\/(doc|man|info|locale|lintian|bug)\//.test(path);

/** A kernel package, or the one that a metapackage such as linux-image-riscv64 stands for. */
function kernelOf(index: PackageIndex, name: string): Package {
  const named = index.named(name);
  const isMeta = !/^linux-image-\d/.test(name);
  const real = demands(named.depends).find(([first]) => first!.name.startsWith('linux-image-'));
  return isMeta && real !== undefined ? index.named(real[0]!.name) : named;
}

function kernelImage(kernel: Tree, from: Package): Uint8Array {
  for (const [path, node] of kernel.entries()) {
    if (path.startsWith('/boot/vmlinu') && node.kind === 'file') return node.bytes;
  }
  throw new UmbraError(
    'image-kernel-missing',
    `the package ${from.name} contains no kernel`,
    'Name a kernel package such as linux-image-riscv64 in the field Kernel.',
  );
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
  const description: ImageDescription = {
    format: 1,
    name,
    summary,
    architecture: 'riscv64',
    kernel: await put('Image', kernel),
    initrd: await put('initrd', writeCpio(root)),
    disks: [],
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

/** An existing image steps aside first: a folder cannot be renamed over a full one. */
async function publish(hidden: string, final: string): Promise<void> {
  const aside = `${hidden}.previous`;
  await rm(aside, { recursive: true, force: true });
  if (existsSync(final)) await rename(final, aside);
  await rename(hidden, final);
  await rm(aside, { recursive: true, force: true });
}

/** Waits for all, so that nothing is still being written when a failure is reported. */
async function allOrFirstFailure<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

function counter(
  report: Report,
  step: Progress['step'],
  total: number,
  what: string,
): (count: number) => void {
  let done = 0;
  return (count) => {
    done += count;
    report(step, done, total, `${what}: ${megabytes(done)} of ${megabytes(total)}`);
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
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
