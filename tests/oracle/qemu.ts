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

/** Absent, or the reason for which tests must skip. */
export const qemuMissing: string | false =
  spawnSync(program, ['--version']).status === 0 ? false : `${program} is not installed`;

const wanted = ['zba', 'zbb', 'zbs', 'sstc', 'svadu'];
/** Instructions and CSRs that Umbra's board lacks and some version of QEMU has by default. */
const unwanted = [
  ...['h', 'v', 'debug', 'zbc', 'zfh', 'zfhmin', 'zfa', 'zicbom', 'zicboz', 'zicbop', 'zicond'],
  ...['zawrs', 'zacas', 'zcb', 'zcmop', 'zimop', 'svinval', 'svnapot', 'svpbmt', 'svvptc'],
  ...['smaia', 'ssaia', 'smepmp', 'smstateen', 'sscofpmf', 'ssnpm', 'smnpm', 'smrnmi', 'smdbltrp'],
];

/** The processor's options, of those that this version of QEMU knows. */
function describeProcessor(): string {
  const help = ['-machine', 'none', '-device', 'rv64-riscv-cpu,help'];
  const known = new Map(
    [...spawnSync(program, help, { encoding: 'utf8' }).stdout.matchAll(/^ {2}([\w-]+)=/gm)].map(
      ([, name]) => [name!.toLowerCase(), name!],
    ),
  );
  const options: [string, string | number][] = [
    ...wanted.map((name): [string, string] => [name, 'true']),
    ...unwanted.map((name): [string, string] => [name, 'false']),
    ['pmu-num', 0],
  ];
  return [
    'rv64',
    ...options
      .filter(([name]) => known.has(name))
      .map(([name, value]) => `${known.get(name)}=${value}`),
  ].join(',');
}
let processor: string | undefined;

export interface QemuOptions {
  readonly harts?: number;
  readonly memoryMb?: number;
}

/** Runs until the guest powers off; returns what it wrote to its UART. */
export function runQemu(options: QemuOptions, more: readonly string[]): Promise<string> {
  processor ??= describeProcessor();
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
