/**
 * The whole way in the console, at a cluster of processes: a VM is made in a form and boots in front
 * of whoever made it, is protected, tested, and loses its host while somebody types on its serial
 * console, of which no key is lost and none comes twice.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { type Console, openConsole } from '../../../src/api/console.ts';
import { launch, logIn, noBrowser, open, type Watched } from '../../console/browser.fixture.ts';
import { eventually } from '../../wait.fixture.ts';
import { ProcessCluster } from '../cluster.fixture.ts';
import { imagesMissing } from '../umbra.fixture.ts';

const password = 'correct horse battery';
const bootMsMax = 60_000;
/** From the SIGKILL to what the page shows of it. */
const shownMsMax = 2_000;
const linesTyped = 160;
/** Of which so many before the host is lost. */
const linesBefore = 40;

const noImage = noBrowser || ((await imagesMissing('tiny')) ?? false);

describe('the whole way', { skip: noImage }, () => {
  let cluster: ProcessCluster;
  let browser: Browser;
  let watched: Watched;
  let serial: Console;
  let said = '';

  before(async () => {
    [cluster, browser] = await Promise.all([ProcessCluster.start({ hosts: 3 }), launch()]);
    const body = { name: 'olga', role: 'operator', password } as const;
    await cluster.client.call('createUser', { body });
    watched = await open(browser, cluster.client.wire.url);
    await logIn(page(), 'olga', password);
  });
  after(async () => {
    serial?.close();
    await browser?.close();
    await cluster?.close();
  });

  const page = (): Page => watched.page;
  const tab = (name: string) => page().getByRole('tab', { name, exact: true }).click();
  const role = (name: string, of = page()) => of.locator(`.u-copy[data-role=${name}]`);
  const rows = () => page().locator('.xterm-rows');

  /** Another page of the same person's. */
  async function beside(path: string): Promise<Page> {
    const own = await page().context().newPage();
    await own.goto(path);
    return own;
  }

  test('a VM is made from an image in the form, and boots in the live console', async () => {
    await page().getByRole('link', { name: 'Virtual machines', exact: true }).click();
    await page().getByRole('button', { name: 'Create VM' }).click();
    const dialog = page().getByRole('dialog');
    await dialog.getByLabel('Name').fill('shell');
    await dialog.getByRole('combobox', { name: 'Image' }).click();
    await page().getByRole('option', { name: /^tiny/ }).click();
    await dialog.getByRole('checkbox', { name: /Protect it/ }).uncheck();
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await page().getByRole('heading', { level: 1, name: 'shell' }).waitFor();
    await page().getByRole('button', { name: 'Power on' }).click();
    await tab('Console');
    await rows().getByText('umbra: tiny ready').waitFor({ timeout: bootMsMax });
    assert.deepEqual(watched.failures, []);
  });

  test('it is protected from the Fault Tolerance panel', async () => {
    await tab('Fault tolerance');
    await page().getByRole('button', { name: 'Turn On' }).click();
    await page().getByRole('dialog').getByRole('button', { name: 'Turn On' }).click();
    await page().getByText('Protected', { exact: true }).first().waitFor({ timeout: bootMsMax });
    assert.equal(await role('Primary').getByRole('link').count(), 1);
    assert.equal(await role('Shadow').getByRole('link').count(), 1);
  });

  test('Test Failover changes the roles under the eyes of whoever pressed it', async () => {
    const before = await role('Primary').getByRole('link').textContent();
    const shadow = (await role('Shadow').getByRole('link').textContent())!;
    // Gone, if the page is loaded anew.
    await page().evaluate(() => Object.assign(globalThis, { isSamePage: true }));
    await page().getByRole('button', { name: 'Test Failover' }).click();
    await page().getByRole('dialog').getByRole('button', { name: 'Test Failover' }).click();
    await role('Primary').getByRole('link', { name: shadow }).waitFor({ timeout: bootMsMax });
    await page()
      .getByText(new RegExp(`failed over from ${before} to ${shadow}`))
      .first()
      .waitFor();
    // It was protected before, too: until it is so again, with its roles changed.
    await eventually('protected again', bootMsMax, async () => {
      const { primary, state } = await cluster.ft('shell');
      return state === 'running' && primary?.host === shadow;
    });
    await page().getByText('Protected', { exact: true }).first().waitFor();
    assert.ok(await page().evaluate(() => 'isSamePage' in globalThis));
    assert.deepEqual(watched.failures, []);
  });

  test('its host is killed under somebody who types: the page tells, and no key is lost', async (t) => {
    serial = openConsole(cluster.client, 'shell', {
      onOutput: (bytes) => {
        said += Buffer.from(bytes).toString();
      },
      onEnd: () => {},
    });
    await tab('Console');
    await page().getByText('Attached', { exact: true }).waitFor();
    await page().locator('.xterm-helper-textarea').focus();
    // Without the terminal's own echo: what comes back is what `cat` has read.
    await page().keyboard.type("stty -echo; echo be'gin'; cat\n");
    await eventually('cat', bootMsMax, () => said.includes('begin\r\n'));
    const [panel, overview] = await Promise.all([
      beside('/vms/shell/fault-tolerance'),
      beside('/'),
    ]);
    const { primary, shadow } = (await cluster.ft('shell'))!;
    await role('Primary', panel).getByRole('link', { name: primary!.host }).waitFor();
    await overview.getByText('Recent events').waitFor();
    await page().bringToFront();

    let killed: Promise<Record<string, number>> | undefined;
    for (let line = 1; line <= linesTyped; line++) {
      if (line === linesBefore) killed = killAndLook();
      await page().keyboard.type(`${line}\n`);
    }
    async function killAndLook(): Promise<Record<string, number>> {
      await cluster.killHost(primary!.host);
      const from = performance.now();
      const [was, is] = [primary!.host, shadow!.host];
      const shows = {
        status: role('Primary', panel).getByRole('link', { name: is }),
        timeline: panel.getByText(new RegExp(`failed over from ${was} to ${is}`)).first(),
        events: overview
          .locator('.u-events')
          .getByText(new RegExp(`failed over from ${was} to ${is}`)),
        alarm: overview
          .getByRole('region', { name: 'Open alarms' })
          .getByText(`${was} is not responding`),
      };
      const after: [string, number][] = [];
      await Promise.all(
        Object.entries(shows).map(async ([what, locator]) => {
          await locator.waitFor();
          after.push([what, Math.round(performance.now() - from)]);
        }),
      );
      return Object.fromEntries(after);
    }

    const expected = Array.from({ length: linesTyped }, (_, at) => `${at + 1}\r\n`).join('');
    const read = () => said.slice(said.indexOf('begin\r\n') + 'begin\r\n'.length);
    const shown = await killed!;
    t.diagnostic(`shown after a host was killed, ms: ${JSON.stringify(shown)}`);
    await eventually('all that was typed', bootMsMax, () => read().length >= expected.length).catch(
      () => {},
    );
    assert.equal(read(), expected);
    for (const [what, ms] of Object.entries(shown)) {
      assert.ok(ms <= shownMsMax, `${what} was shown after ${ms} ms`);
    }
    // The terminal in the browser shows the end of the same bytes.
    await rows().getByText(String(linesTyped), { exact: true }).waitFor();
    await page().getByText('Attached', { exact: true }).waitFor();
    assert.deepEqual(watched.failures, []);
    await Promise.all([panel.close(), overview.close()]);
  });
});
