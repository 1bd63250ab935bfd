/**
 * What goes into an image, from the archive: the kernel and the guest's root, verified and in
 * memory. Nothing is written but the cache.
 */
import { UmbraError } from '../base/errors.ts';
import {
  indexFile,
  openArchive,
  openRelease,
  type Package,
  packageFile,
  type Release,
  readIndex,
} from './archive.ts';
import { linkApplets } from './busybox.ts';
import { Cache } from './cache.ts';
import { unpackDeb } from './deb.ts';
import type { Downloader } from './download.ts';
import { keepOnly, leaveOut } from './keep.ts';
import { addModules } from './modules.ts';
import { counter, type Report } from './progress.ts';
import type { Recipe } from './recipe.ts';
import { demands, PackageIndex } from './resolve.ts';
import { Tree } from './tree.ts';

export interface Gathered {
  readonly release: Release;
  readonly packages: readonly Package[];
  readonly kernel: Uint8Array;
  readonly root: Tree;
}

/** Everything that goes into the image, verified and in memory. */
export async function gather(
  recipe: Recipe,
  home: string,
  mirrors: readonly string[],
  keyrings: readonly Uint8Array[],
  from: Downloader,
  report: Report,
): Promise<Gathered> {
  const cache = new Cache(home);
  report('release', 0, 1, `asking for Debian ${recipe.suite}`);
  const archive = await openArchive(
    (suite) => openRelease(mirrors, suite, keyrings, from),
    (release) => {
      const counted = counter(report, 'index', indexFile(release).bytes, 'package index');
      return readIndex(release, cache, from, counted);
    },
    recipe.suite,
  );
  const { release } = archive;
  const index = new PackageIndex(archive.index);

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
  leaveOut(root, recipe.omit);
  linkApplets(root);
  await addModules(kernel, recipe.modules, root);
  for (const name of ['dev', 'proc', 'sys', 'run', 'root', 'tmp']) root.folder(`/${name}`);
  // The kernel opens the console for the first program before anything is mounted.
  root.device('/dev/console', 5, 1);
  for (const file of recipe.files) {
    root.remove(file.path);
    if ('target' in file) root.link(file.path, file.target);
    else root.file(file.path, file.text, file.mode);
  }
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

/** Waits for all, so that nothing is still being written when a failure is reported. */
async function allOrFirstFailure<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
