/** `umbra audit`. */
import type { Command } from 'commander';
import type { AuditView } from '../api/people.ts';
import { wholeNumber } from './center.ts';
import { centerOptions, show, table, withCenter } from './session.ts';

export function registerAudit(program: Command): void {
  centerOptions(program.command('audit'))
    .description('every changing call: who, from where, what, and what came of it; oldest first')
    .option('--after <sequence>', 'those after this one, instead of the last ones', wholeNumber)
    .option('--limit <n>', 'how many', wholeNumber, 100)
    .option('--who <name>', 'only of this user, token or daemon')
    .option('--vm <name>', 'only of this VM')
    .option('--json', 'print JSON')
    .action(async ({ json, after, limit, who, vm, ...options }) => {
      const query = { after, limit, who, vm, last: after === undefined };
      const records = await withCenter(options, (client) => client.call('listAudit', { query }));
      show(json, records, () =>
        table(['NO', 'TIME', 'WHO', 'FROM', 'ACTION', 'OUTCOME', 'INPUT'], records.map(row)),
      );
    });
}

function row({ sequence, time, who, address, action, outcome, input }: AuditView) {
  const said = JSON.stringify(input);
  const short = said.length > 80 ? `${said.slice(0, 77)}...` : said;
  return [sequence, time, who, address, action, outcome, short];
}
