/**
 * QEMU's `virt` machine as the outside oracle: it knows nothing of Umbra's tables, so that a
 * mistake in one of them cannot hide.
 *
 * The processor is trimmed to what Umbra's board has: RV64GC with Zba, Zbb, Zbs and Sstc, without
 * the hypervisor extension and without what came later. Every guest of the oracle ends itself by
 * the test finisher; one that does not is killed and fails the test.
 */
import { spawn, spawnSync } from 'node:child_process';

const program = 'qemu-system-riscv64';
const timeoutMs = 60_000;

const processor = [
  'rv64',
  ...['zba', 'zbb', 'zbs', 'sstc'].map((name) => `${name}=true`),
  ...['h', 'zbc'].map((name) => `${name}=false`),
].join(',');

/** Absent, or the reason for which tests must skip. */
export const qemuMissing: string | false =
  spawnSync(program, ['--version']).status === 0 ? false : `${program} is not installed`;

export interface QemuOptions {
  readonly harts?: number;
  readonly memoryMb?: number;
}

/** Runs until the guest powers off; returns what it wrote to its UART. */
export function runQemu(options: QemuOptions, more: readonly string[]): Promise<string> {
  const args = [
    ...['-cpu', processor, '-smp', String(options.harts ?? 1), '-m', `${options.memoryMb ?? 128}M`],
    ...['-bios', 'none', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
    ...more,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('latin1').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      if (status === 0) resolve(output);
      else reject(new Error(`QEMU ended by ${signal ?? status}: ${errors}\n${output}`));
    });
  });
}

/** Boots an ELF file in M-mode at its load address, as `-bios none -kernel` does. */
export function runOnQemu(elf: string, options: QemuOptions = {}): Promise<string> {
  return runQemu(options, ['-machine', 'virt', '-kernel', elf]);
}
