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
import { groups } from './groups.ts';

// What was compiled by an earlier start serves again: half of the time to start.
enableCompileCache();

const environment = `
Environment:
  UMBRA_CENTER      address of the center, in place of --center
  UMBRA_HOME        state, credentials and images (by default ~/.umbra)
  UMBRA_JOIN_TOKEN  a join token, in place of --token
  UMBRA_NODE        of a host: what executes its VM processes, in place of Node`;

async function main(args: readonly string[]): Promise<number> {
  const program = new Command('umbra')
    .description('Fault tolerance for virtual machines.')
    .version(packageVersion(), '--version', 'print the version')
    .showHelpAfterError('(see umbra --help)')
    .addHelpText('after', environment)
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
