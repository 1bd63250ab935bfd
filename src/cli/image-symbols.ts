/** `umbra image symbols`: what a kernel calls its functions, as a file for GDB. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { umbraHome } from '../api/credentials.ts';
import { UmbraError } from '../base/errors.ts';
import { imagesFolder, isImageName, loadImage } from '../images/image.ts';
import { kernelSymbols } from '../images/kallsyms.ts';
import { symbolElf } from '../images/symbol-elf.ts';
import { show } from './session.ts';

/** @param image the command `umbra image` */
export function registerImageSymbols(image: Command): void {
  image
    .command('symbols')
    .argument('<image|kernel>', 'an image, or the file of an uncompressed Linux kernel')
    .requiredOption('--to <file>', 'an ELF file, for gdb-multiarch and for --symbols')
    .option('--json', 'print { kernel, file, symbols, bytes }')
    .description('write the symbols that a Linux kernel carries within itself into a file for GDB')
    .action(async (source: string, { to, json }: { to: string; json?: boolean }) => {
      const kernel = await kernelOf(source);
      const symbols = kernelSymbols(readFileSync(kernel), kernel);
      const elf = symbolElf(symbols);
      writeFileSync(to, elf);
      const made = { kernel, file: to, symbols: symbols.length, bytes: elf.length };
      show(
        json,
        made,
        () =>
          `${symbols.length} symbols of ${source} are in ${to}. To use them: gdb-multiarch ${to} -ex 'target remote :PORT'`,
      );
    });
}

/** A file wins over an image of the same name only where it is written as a path. */
async function kernelOf(source: string): Promise<string> {
  if (isImageName(source)) {
    const { kernel } = await loadImage(umbraHome(), source);
    return join(imagesFolder(umbraHome()), source, kernel.path);
  }
  if (existsSync(source) && statSync(source).isFile()) return source;
  throw new UmbraError(
    'kernel-missing',
    `${source} is neither an image nor a file.`,
    'Name one of umbra image list, or the file of a kernel, such as RECORDING/kernel.',
  );
}
