/**
 * The console as somebody uses it, in a real browser at a real cluster of processes: log in, see the
 * VM, watch its serial console through a failover, turn protection off and on. Every page that is
 * come by is looked at by axe, light and dark; a page that writes an error fails.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import {
  assertAccessible,
  assertAccessibleInBoth,
  launch,
  logIn,
  noBrowser,
  open,
  type Watched,
} from '../../console/browser.fixture.ts';
import { eventually, type GuestCluster, guestCluster } from '../guest-cluster.fixture.ts';
import { consoleByteAt } from '../vm-guest.fixture.ts';

const password = 'correct horse battery';

describe('the console', { skip: noBrowser }, () => {
  let guests: GuestCluster;
  let browser: Browser;
  let watched: Watched;

  before(async () => {
    [guests, browser] = await Promise.all([guestCluster(), launch()]);
    const { cluster } = guests;
    const { client } = cluster;
    for (const [name, role] of [
      ['olga', 'administrator'],
      ['vera', 'viewer'],
    ] as const) {
      await client.call('createUser', { body: { name, role, password } });
    }
    await cluster.daemon('host', 'a');
    await cluster.daemon('host', 'b');
    await guests.protectedVm('a');
    watched = await open(browser, client.wire.url);
  });
  after(async () => {
    await browser?.close();
    await guests?.close();
  });

  const client = () => guests.cluster.client;
  const page = () => watched.page;
  const accessible = (where: string) => assertAccessibleInBoth(watched, where);

  test('a wrong password is refused in words; the right one leads to the overview', async () => {
    await page().goto('/');
    await page().getByRole('button', { name: 'Log in' }).click();
    await page().getByText('This is needed.').first().waitFor();
    await page().getByLabel('User').fill('olga');
    await page().getByLabel('Password', { exact: true }).fill('wrong');
    await page().getByRole('button', { name: 'Log in' }).click();
    await page().getByText('User or password are wrong.').waitFor();
    assert.equal(await page().getByLabel('User').inputValue(), 'olga', 'nothing typed is lost');
    await accessible('login');
    await logIn(page(), 'olga', password);
    await page()
      .getByRole('link', { name: /1\s*Protected/ })
      .waitFor();
    await page().getByText('web is protected').first().waitFor();
    await accessible('overview');
  });

  test('the VM is in the list, and opens by the keyboard', async () => {
    await page().getByRole('link', { name: 'Virtual machines', exact: true }).click();
    const row = page().getByRole('row', { name: /web/ });
    await row.getByText('Protected').waitFor();
    await accessible('virtual machines');
    await row.focus();
    await page().keyboard.press('Enter');
    await page().getByRole('heading', { level: 1, name: 'web' }).waitFor();
    await page().getByText('Log bandwidth').waitFor();
    await accessible('summary');
  });

  test('its serial console shows what the guest says, and stays through a failover', async () => {
    await page().getByRole('tab', { name: 'Console' }).click();
    await page().getByText('Attached', { exact: true }).waitFor();
    const guestSays = Array.from({ length: 24 }, (_, at) => String.fromCharCode(consoleByteAt(at)));
    const expected = guestSays.slice(1, 24).join('');
    const rows = page().locator('.xterm-rows');
    await eventually('what the guest says', async () =>
      (await rows.textContent())?.includes(expected),
    );
    await accessible('serial console');
    await client().call('testFailover', { params: { vm: 'web' } });
    await page().getByText('Live on b.').waitFor();
    const before = await rows.textContent();
    await eventually('more of it', async () => (await rows.textContent()) !== before);
    await page().getByText('Attached', { exact: true }).waitFor();
  });

  test('fault tolerance: both copies, what can be done, what was done', async () => {
    await page().getByRole('tab', { name: 'Fault tolerance' }).click();
    await page().getByText('Protected', { exact: true }).first().waitFor();
    await page()
      .getByText('By a test failover')
      .or(page().getByText(/failed over from a to b/))
      .first()
      .waitFor();
    await accessible('fault tolerance');
    await page().getByRole('button', { name: 'Turn Off' }).click();
    const dialog = page().getByRole('dialog');
    await dialog.getByText(/runs on, unprotected/).waitFor();
    await accessible('a question');
    await dialog.getByRole('button', { name: 'Turn Off' }).click();
    await page().getByRole('button', { name: 'Turn On' }).click();
    await dialog.getByRole('button', { name: 'Turn On' }).click();
    await page().getByText('Protected', { exact: true }).first().waitFor();
    assert.deepEqual(watched.failures, []);
  });

  test('a session that ends is renewed without losing what was typed', async () => {
    await page().getByRole('link', { name: 'Hosts', exact: true }).click();
    await page().getByLabel('Filter hosts').fill('b');
    await accessible('hosts');
    await page().getByRole('button', { name: 'Join a host' }).click();
    const make = page().getByRole('button', { name: 'Make a join token' });
    await make.waitFor();
    const body = { password };
    await client().call('setUserPassword', { params: { user: 'olga' }, body });
    // The live view may have asked for the password already: this goes under its dialogue.
    await make.dispatchEvent('click');
    const again = page().getByRole('dialog', { name: 'Log in again' });
    await again.getByLabel('Password of olga').fill(password);
    await again.getByRole('button', { name: 'Log in' }).click();
    await page()
      .getByText(/umbra host start --join https/)
      .waitFor();
    await page().getByRole('button', { name: 'Close', exact: true }).last().click();
    assert.equal(await page().getByLabel('Filter hosts').inputValue(), 'b');
    assert.deepEqual(watched.failures, []);
  });

  test('a viewer sees, and is told why nothing can be pressed', async () => {
    const { page: own, failures } = await open(browser, client().wire.url, {
      viewport: { width: 820, height: 1180 },
    });
    await logIn(own, 'vera', password);
    await own.goto('/vms/web/fault-tolerance');
    const button = own.getByRole('button', { name: 'Turn Off' });
    await button.waitFor();
    assert.equal(await button.getAttribute('aria-disabled'), 'true');
    assert.equal(await own.getByRole('tab', { name: 'Console' }).count(), 0);
    await button.focus();
    await own.getByRole('tooltip').getByText('For people of the role operator.').waitFor();
    await assertAccessible(own, 'as a viewer on a tablet');
    assert.deepEqual(failures, []);
    await own.context().close();
  });
});
