/** One VM in depth, in a browser: its charts and snapshots, what was done with it and what happened. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import {
  assertAccessibleInBoth,
  launch,
  logIn,
  noBrowser,
  open,
  type Watched,
} from '../../console/browser.fixture.ts';
import { eventually, type GuestCluster, guestCluster } from '../guest-cluster.fixture.ts';

const password = 'correct horse battery';

/** What tests, which know no DOM, ask of one. */
interface Canvas {
  readonly width: number;
  readonly height: number;
  getContext(kind: '2d'): {
    getImageData(
      x: number,
      y: number,
      width: number,
      height: number,
    ): { readonly data: Uint8Array };
  };
}

describe('a VM in depth', { skip: noBrowser }, () => {
  let guests: GuestCluster;
  let browser: Browser;
  let watched: Watched;

  before(async () => {
    [guests, browser] = await Promise.all([guestCluster(), launch()]);
    const { cluster } = guests;
    const { client } = cluster;
    await client.call('createUser', { body: { name: 'olga', role: 'operator', password } });
    await cluster.daemon('host', 'a');
    await cluster.daemon('host', 'b');
    await guests.protectedVm('a');
    watched = await open(browser, client.wire.url);
    await logIn(watched.page, 'olga', password);
  });
  after(async () => {
    await browser?.close();
    await guests?.close();
  });

  const client = () => guests.cluster.client;
  const page = () => watched.page;
  const tab = (name: string) => page().getByRole('tab', { name, exact: true }).click();
  const accessible = (where: string) => assertAccessibleInBoth(watched, where);

  test('charts tell their values, move with the keyboard, and mark a failover', async () => {
    await page().goto('/vms/web/charts');
    const cpu = page().getByRole('img', { name: /^CPU: Primary \d.*Shadow \d/ });
    await cpu.waitFor();
    const inked = () =>
      cpu.locator('canvas').evaluate((canvas) => {
        const { width, height, getContext } = canvas as unknown as Canvas;
        const { data } = getContext.call(canvas, '2d').getImageData(0, 0, width, height);
        return data.some((value) => value > 0);
      });
    await eventually('something drawn', async () => (await inked()) || undefined);
    await client().call('testFailover', { params: { vm: 'web' } });
    const marks = page().getByRole('region', { name: 'Marked moments' });
    await marks.getByText(/failed over from a to b/).waitFor();
    await marks.getByText(/by a test failover, interrupted for/).waitFor();
    await cpu.focus();
    await page().keyboard.press('Home');
    await page()
      .getByText(/^Values of \d/)
      .waitFor();
    await page().keyboard.press('Escape');
    await page().getByText('Values of now').waitFor();
    await accessible('charts');
  });

  test('the failover is told with what it cost', async () => {
    await tab('Fault tolerance');
    await page()
      .getByText(/by a test failover, interrupted for [\d.]+ m?s/)
      .first()
      .waitFor();
    assert.deepEqual(watched.failures, []);
  });

  test('a snapshot is taken, cloned, gone back to and deleted', async () => {
    await tab('Snapshots');
    await page().getByText('No snapshots yet').waitFor();
    await accessible('no snapshots');
    await page().getByRole('button', { name: 'Take a snapshot' }).click();
    const dialog = page().getByRole('dialog');
    await dialog.getByLabel('Name').fill('Not A Name');
    await dialog.getByRole('button', { name: 'Take it' }).click();
    await dialog
      .getByText(/lower-case letters/)
      .last()
      .waitFor();
    await dialog.getByLabel('Name').fill('before');
    await dialog.getByRole('button', { name: 'Take it' }).click();
    await page().getByRole('button', { name: 'Revert before' }).waitFor();
    await accessible('snapshots');
    await page().getByRole('button', { name: 'Clone before' }).click();
    await dialog.getByLabel('Name of the new VM').fill('web-too');
    await dialog.getByRole('button', { name: 'Clone', exact: true }).click();
    await page().getByRole('link', { name: 'web-too', exact: true }).waitFor();
    await page().goto('/vms/web/snapshots');
    await page().getByRole('button', { name: 'Revert before' }).click();
    await dialog.getByText(/powered off at once/).waitFor();
    await accessible('a revert');
    await dialog.getByRole('button', { name: 'Revert', exact: true }).click();
    await eventually('the revert', async () =>
      (await client().call('listEvents', { query: { vm: 'web' } })).some(
        ({ kind }) => kind === 'vm-reverted',
      ),
    );
    await page().getByRole('button', { name: 'Delete before' }).click();
    await dialog.getByRole('button', { name: 'Delete', exact: true }).click();
    await page().getByText('No snapshots yet').waitFor();
    assert.deepEqual(watched.failures, []);
  });

  test('tasks and events of the VM, and that it has no disks', async () => {
    await tab('Tasks');
    await page()
      .getByRole('row', { name: /Take snapshot.*Succeeded/ })
      .waitFor();
    await page()
      .getByRole('row', { name: /Revert to snapshot/ })
      .waitFor();
    await accessible('tasks');
    await tab('Events');
    await page().getByLabel('Filter Events of web').fill('failed over');
    const row = page().getByRole('row', { name: /failed over from a to b/ });
    await row.focus();
    await page().keyboard.press('Enter');
    const dialog = page().getByRole('dialog');
    await dialog.getByText('ft-primary-failover').waitFor();
    await accessible('an event');
    await page().keyboard.press('Escape');
    await accessible('events');
    await tab('Disks');
    await page().getByText('web has no disks').waitFor();
    await accessible('disks');
  });
});
