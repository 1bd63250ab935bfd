#!/usr/bin/env node
/**
 * The `umbra` command. Each group of commands is a file that adds itself to the program; only the
 * group that is called is loaded, so that a status does not wait for the engine to load.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage. Errors go to standard error: what, why, what to do.
 */
import { readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { Command } from 'commander';
import { explain } from './explain.ts';

// What was compiled by an earlier start serves again: half of the time to start.
enableCompileCache();

type Register = (program: Command) => void;

/** In the order of the help. */
const groups: Readonly<Record<string, () => Promise<Register>>> = {
  demo: async () => (await import('./demo/demo.ts')).registerDemo,
  run: async () => (await import('./run.ts')).registerRun,
  replay: async () => (await import('./replay.ts')).registerReplay,
  image: async () => (await import('./image.ts')).registerImage,
  center: async () => (await import('./center.ts')).registerCenter,
  host: async () => (await import('./host.ts')).registerHost,
  gateway: async () => (await import('./gateway.ts')).registerGateway,
  vm: async () => (await import('./vm.ts')).registerVm,
  alarm: async () => (await import('./alarm.ts')).registerAlarm,
  ft: async () => (await import('./ft.ts')).registerFt,
  task: async () => (await import('./task.ts')).registerTask,
  login: async () => (await import('./login.ts')).registerLogin,
  logout: async () => (await import('./login.ts')).registerLogout,
  whoami: async () => (await import('./login.ts')).registerWhoami,
  user: async () => (await import('./user.ts')).registerUser,
  token: async () => (await import('./token.ts')).registerToken,
  'support-bundle': async () => (await import('./support-bundle.ts')).registerSupportBundle,
  audit: async () => (await import('./audit.ts')).registerAudit,
};

async function main(args: readonly string[]): Promise<number> {
  const program = new Command('umbra')
    .description('Fault tolerance for virtual machines.')
    .version(packageVersion(), '--version', 'print the version')
    .showHelpAfterError('(see umbra --help)')
    .exitOverride();
  const named = groups[args[0] ?? ''];
  for (const load of named === undefined ? Object.values(groups) : [named]) {
    (await load())(program);
  }
  forEachCommand(program, (command) => command.exitOverride().showHelpAfterError());
  try {
    if (args.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return explain(error);
  }
}

function forEachCommand(command: Command, act: (command: Command) => void): void {
  for (const each of command.commands) {
    act(each);
    forEachCommand(each, act);
  }
}

/** The package's file is two folders up, in sources and build alike. */
function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

process.exitCode = await main(process.argv.slice(2));
