/** Two VM processes as a pair: protection, the loss of one, and orders. */
import test from 'node:test';
import { TestHosts, until } from './vm-hosts.fixture.ts';

test('a pair protects itself, and its shadow takes over when the primary is killed', async () => {
  const hosts = await TestHosts.start();
  try {
    const { primary, shadow } = await hosts.pair();
    shadow.tell({ kind: 'trunk', host: 'a', up: false });
    await until('some console', () => primary.console.length > 100);
    primary.kill();
    await until('the shadow is live', () => shadow.status?.role === 'live');
    await until('it goes on', () => shadow.console.length > 100);
    hosts.checkConsole();
  } finally {
    for (const vm of hosts.vms) if (vm.log) console.log(vm.host.id, vm.log, vm.failures);
    await hosts.close();
  }
});
