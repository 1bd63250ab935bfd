/** `umbra image build|import|list|show|symbols|remove`. */
import type { Command } from 'commander';
import { umbraHome } from '../api/credentials.ts';
import { buildImage } from '../images/build.ts';
import { type ImageDescription, listImages, loadImage, removeImage } from '../images/image.ts';
import { megabytes } from '../images/progress.ts';
import { builtinRecipes, loadRecipe } from '../images/recipe.ts';
import { registerImageSymbols } from './image-symbols.ts';
import { diskOption, importOwn } from './own-files.ts';
import { ProgressLine } from './progress-line.ts';
import { show, table } from './session.ts';
import { parseMemory } from './values.ts';

export function registerImage(program: Command): void {
  const image = program.command('image').description('build and manage guest images');

  image
    .command('build')
    .argument('<name|recipe>', `a recipe of Umbra's (${builtinRecipes().join(', ')}) or a file`)
    .option('--mirror <url>', "Debian mirror; by default the machine's own")
    .option('--json', 'print the image as JSON')
    .description('build an image from a recipe, out of a verified Debian archive')
    .action(async (name: string, options: { mirror?: string; json?: boolean }) => {
      const line = new ProgressLine(options.json !== true);
      const interrupted = new AbortController();
      const interrupt = (): void => interrupted.abort();
      process.once('SIGINT', interrupt);
      try {
        const built = await buildImage(loadRecipe(name), {
          home: umbraHome(),
          mirror: options.mirror,
          signal: interrupted.signal,
          onProgress: ({ text, done, total }) => line.show(text, done, total),
        });
        line.end();
        if (options.json) console.log(JSON.stringify(built));
      } finally {
        line.end();
        process.removeListener('SIGINT', interrupt);
      }
    });

  image
    .command('import')
    .argument('<name>', 'lower-case letters, digits and dashes')
    .requiredOption('--kernel <file>', 'a 64-bit RISC-V kernel: Linux Image, ELF or flat binary')
    .option('--initrd <file>', 'an initial RAM disk for it')
    .addOption(diskOption())
    .option('--append <text>', 'kernel command line; by default console=ttyS0')
    .option('--memory <size>', 'memory of VMs unless told otherwise, such as 512M')
    .option('--json', 'print the image as JSON')
    .description("make an image of your own kernel and disks, on the center's machine")
    .action(async (name: string, { json, append, memory, ...files }) => {
      const { image: made, digest } = await importOwn(name, files, {
        ...(append !== undefined && { append }),
        ...(memory !== undefined && { memory: parseMemory(memory, 2 ** 24, 3 * 2 ** 30) }),
        quiet: json === true,
      });
      show(
        json,
        { ...made, digest },
        () => `${name} has been imported; umbra vm create VM --image ${name}.`,
      );
    });

  image
    .command('list')
    .option('--json', 'print JSON')
    .description('list the images that there are')
    .action(async (options: { json?: boolean }) => {
      const images = await listImages(umbraHome());
      show(options.json, images, () =>
        images.length === 0
          ? 'No images yet. Build one: umbra image build tiny'
          : table(['NAME', 'SIZE', 'DEBIAN', 'WHAT IT IS'], images.map(row)),
      );
    });

  image
    .command('show')
    .argument('<name>')
    .option('--json', 'print it as JSON, as it does anyway')
    .description('describe an image and verify its files')
    .action(async (name: string) => {
      console.log(JSON.stringify(await loadImage(umbraHome(), name), null, 2));
    });

  registerImageSymbols(image);

  image
    .command('remove')
    .argument('<name>')
    .option('--json', 'print { removed }')
    .description('remove an image')
    .action(async (name: string, { json }: { json?: boolean }) => {
      await removeImage(umbraHome(), name);
      show(json, { removed: name }, () => `${name} has been removed.`);
    });
}

function row({ name, summary, kernel, initrd, disks, release }: ImageDescription) {
  const bytes = [kernel, initrd, ...disks].reduce((sum, file) => sum + file.bytes, 0);
  const debian = release === undefined ? undefined : `${release.suite} ${release.version}`;
  return [name, megabytes(bytes), debian, summary];
}
