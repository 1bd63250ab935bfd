/** `umbra token create|list|revoke`: API tokens. Join tokens are `umbra center token`. */
import type { Command } from 'commander';
import type { ApiTokenView } from '../api/people.ts';
import { parseDuration } from './duration.ts';
import { centerOptions, show, table, withCenter } from './session.ts';
import { roleOption } from './user.ts';

export function registerToken(program: Command): void {
  const token = program.command('token').description('API tokens, for scripts');

  centerOptions(token.command('create'))
    .description('make an API token; it is shown this once')
    .argument('<name>', 'to recognise it by')
    .addOption(roleOption())
    .option('--ttl <time>', 'how long it is good, such as 30d; without, until it is revoked')
    .option('--json', 'print { token, info }')
    .action(async (name: string, { json, role, ttl, ...options }) => {
      const body = { name, role, ...(ttl !== undefined && { ttlSeconds: parseDuration(ttl) }) };
      const made = await withCenter(options, (client) => client.call('createApiToken', { body }));
      show(json, made, () => made.token);
    });

  centerOptions(token.command('list'))
    .description('your API tokens, or all as administrator')
    .option('--json', 'print JSON')
    .action(async ({ json, ...options }) => {
      const tokens = await withCenter(options, (client) => client.call('listApiTokens'));
      show(json, tokens, () =>
        table(['ID', 'NAME', 'ROLE', 'USER', 'MADE', 'EXPIRES', 'LAST USED'], tokens.map(row)),
      );
    });

  centerOptions(token.command('revoke'))
    .description('revoke an API token, with those that were made with it')
    .argument('<id>')
    .option('--json', 'print { revoked }')
    .action(async (id: string, { json, ...options }) => {
      await withCenter(options, (client) =>
        client.call('revokeApiToken', { params: { token: id } }),
      );
      show(json, { revoked: id }, () => `${id} has been revoked.`);
    });
}

function row({ id, name, role, user, made, expires, lastUsed }: ApiTokenView) {
  return [id, name, role, user, made, expires, lastUsed];
}
