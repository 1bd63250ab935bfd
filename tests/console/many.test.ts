/** 50 hosts and 1,000 VMs: useful within a second, and only what is in sight is in the page. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import {
  assertAccessible,
  launch,
  logIn,
  noBrowser,
  open,
  type Watched,
} from './browser.fixture.ts';
import { SyntheticCluster } from './synthetic-cluster.fixture.ts';

/** The floor is a second on an idle machine; tests have company. */
const usefulMsMax = 4_000;

describe('a large cluster', { skip: noBrowser }, () => {
  let cluster: SyntheticCluster;
  let browser: Browser;
  let watched: Watched;

  before(async () => {
    cluster = await SyntheticCluster.start({ hosts: 50, vms: 1_000, everyOff: 100 });
    browser = await launch();
    const { url, administrator } = cluster.center.center;
    watched = await open(browser, url);
    await logIn(watched.page, administrator!.name, administrator!.password);
  });
  after(async () => {
    await browser?.close();
    await cluster?.close();
  });

  test('is there soon, can be scrolled to its end, and filtered', async () => {
    const { page, failures } = watched;
    await page.goto('/vms');
    const rows = page.getByRole('row');
    await page.getByText('1,000 VMs').waitFor();
    await rows.nth(5).waitFor();
    const usefulMs = await page.evaluate(() => performance.now());
    assert.ok(usefulMs < usefulMsMax, `useful after ${usefulMs} ms`);
    console.log(`useful after ${Math.round(usefulMs)} ms`);
    assert.ok((await rows.count()) < 80, 'not all of them are in the page');
    await rows.nth(1).focus();
    await page.keyboard.press('End');
    await page.getByRole('link', { name: 'web-125', exact: true }).waitFor();
    await page.getByLabel('Filter virtual machines').fill('billing-77');
    await page.getByText('1 of 1,000 VMs').waitFor();
    await assertAccessible(page, 'a large table');
    assert.deepEqual(failures, []);
  });
});
