/** Programs compiled with what a debugger wants to know, and a debugger's script. */
import { spawn, spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const compiler = 'riscv64-unknown-elf-gcc';
export const debuggerCommand = 'gdb-multiarch';

export function debuggingMissing(): string | false {
  for (const command of [compiler, debuggerCommand]) {
    if (spawnSync(command, ['--version']).status !== 0) return `${command} is not installed`;
  }
  return false;
}

export const compileRace = (folder: string): string => compile('race', 0x8020_0000, folder);
/** A program for Linux. */
export const compileUser = (folder: string): string => compile('user', 0x4000_0000, folder);

/** @returns the ELF file's path, in `folder` */
function compile(name: string, address: number, folder: string): string {
  const elf = join(folder, `${name}.elf`);
  const { status, stderr } = spawnSync(
    compiler,
    [
      ...['-march=rv64gc', '-mabi=lp64d', '-mcmodel=medany', '-O1', '-g', '-Wall', '-Werror'],
      ...['-ffreestanding', '-nostdlib', '-static', `-Wl,-Ttext=0x${address.toString(16)}`],
      ...['-Wl,--build-id=none,--no-relax', '-e', '_start'],
      ...['-o', elf, resolve(import.meta.dirname, `${name}.c`)],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`${name}.c does not compile:\n${stderr}`);
  return elf;
}

/** Runs GDB in batch mode. @returns what it printed */
export function debugWith(
  elf: string,
  port: number,
  commands: readonly string[],
  timeoutMs = 120_000,
): Promise<string> {
  const all = [
    'set pagination off',
    'set confirm off',
    'set width 0',
    'set remotetimeout 60',
    `target remote 127.0.0.1:${port}`,
    ...commands,
  ];
  const child = spawn(debuggerCommand, [
    ...['-nx', '-batch', elf],
    ...all.flatMap((command) => ['-ex', command]),
  ]);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', () => {
      clearTimeout(timer);
      done(text);
    });
  });
}
