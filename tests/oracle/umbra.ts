/**
 * Umbra's board under the same conditions as QEMU's: the twin of `runOnQemu`.
 * Until there is a board to run on, `umbraMissing` says so and the tests that compare skip by name.
 */
import type { QemuOptions } from './qemu.ts';

export const umbraMissing: string | false = 'src/board/ has no machine yet';

/** Runs an ELF file from its first byte in M-mode until it powers off; returns its UART's output. */
export function runOnUmbra(_elf: string, _options: QemuOptions = {}): Promise<string> {
  throw new Error(String(umbraMissing));
}
