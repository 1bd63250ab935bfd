/** `umbra user add|list|remove|set-role|set-password`. */
import { type Command, Option } from 'commander';
import type { UserView } from '../api/people.ts';
import { roles } from '../api/roles.ts';
import { passwordOption, readPassword } from './password.ts';
import { centerOptions, show, table, withCenter } from './session.ts';

export const roleOption = (): Option =>
  new Option('--role <role>', 'what it may do').choices([...roles]).default('viewer');

export function registerUser(program: Command): void {
  const user = program.command('user').description('people who may log in, and their roles');

  passwordOption(centerOptions(user.command('add')))
    .description('add a user')
    .argument('<name>', 'lower-case letters, digits and inner dots, hyphens and underscores')
    .addOption(roleOption())
    .option('--json', 'print the user as JSON')
    .action(async (name: string, { json, role, ...options }) => {
      const password = await readPassword(
        options,
        `Password for ${name} (12 characters or more): `,
      );
      const made = await withCenter(options, (client) =>
        client.call('createUser', { body: { name, role, password } }),
      );
      show(json, made, () => `${name} has been added as ${made.role}.`);
    });

  centerOptions(user.command('list'))
    .description('users and their roles')
    .option('--json', 'print JSON')
    .action(async ({ json, ...options }) => {
      const users = await withCenter(options, (client) => client.call('listUsers'));
      show(json, users, () => table(['NAME', 'ROLE', 'MADE', 'LAST LOGIN'], users.map(row)));
    });

  centerOptions(user.command('remove'))
    .description('remove a user, with sessions and API tokens')
    .argument('<name>')
    .option('--json', 'print { removed }')
    .action(async (name: string, { json, ...options }) => {
      await withCenter(options, (client) => client.call('removeUser', { params: { user: name } }));
      show(json, { removed: name }, () => `${name} has been removed.`);
    });

  centerOptions(user.command('set-role'))
    .description('give a user another role, for open sessions and tokens, too')
    .argument('<name>')
    .argument('<role>', roles.join(', '))
    .option('--json', 'print the user as JSON')
    .action(async (name: string, role: UserView['role'], { json, ...options }) => {
      const user = await withCenter(options, (client) =>
        client.call('setUserRole', { params: { user: name }, body: { role } }),
      );
      show(json, user, () => `${name} is ${user.role} now.`);
    });

  passwordOption(centerOptions(user.command('set-password')))
    .description('set a password; for your own, the present one is needed')
    .argument('<name>')
    .option('--present-file <file>', 'your present password, in a file')
    .option('--json', 'print the user as JSON')
    .action(async (name: string, { json, presentFile, ...options }) => {
      const user = await withCenter(options, async (client) => {
        const isOwn = (await client.call('showSession')).name === name;
        const present = isOwn
          ? await readPassword({ passwordFile: presentFile }, 'Present password: ')
          : undefined;
        const password = await readPassword(options, `New password for ${name}: `);
        return client.call('setUserPassword', {
          params: { user: name },
          body: { password, ...(present !== undefined && { present }) },
        });
      });
      show(json, user, () => `${name} has a new password, and other sessions have ended.`);
    });
}

function row({ name, role, made, lastLogin }: UserView) {
  return [name, role, made, lastLogin];
}
