/**
 * What the console does when something is refused, runs out or breaks: roles, sessions, connections,
 * and forms whose requests fail. At a real center in this process, through a cable that is pulled.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { Browser, Locator, Page } from 'playwright-core';
import { type EndpointName, endpoints } from '../../src/api/endpoints.ts';
import { fieldErrors } from '../../src/console/parts/field-errors.ts';
import { launch, logIn, noBrowser, open, type Watched } from './browser.fixture.ts';
import { Cable } from './proxy.fixture.ts';
import { SyntheticCluster } from './synthetic-cluster.fixture.ts';

const password = 'correct horse battery';

describe('the console, when something fails', { skip: noBrowser }, () => {
  let cluster: SyntheticCluster;
  let cable: Cable;
  let browser: Browser;
  let watched: Watched;

  before(async () => {
    [cluster, browser] = await Promise.all([
      SyntheticCluster.start({ hosts: 4, vms: 16, everyUnprotected: 5, everyOff: 7 }),
      launch(),
    ]);
    cluster.center.addImage('tiny');
    for (const [name, role] of [
      ['olga', 'administrator'],
      ['vera', 'viewer'],
    ] as const) {
      await cluster.center.client().call('createUser', { body: { name, role, password } });
    }
    cable = await Cable.to(cluster.center.url);
    watched = await open(browser, cable.url);
    await logIn(page(), 'olga', password);
  });
  after(async () => {
    await browser?.close();
    await cable?.close();
    await cluster?.close();
    assert.deepEqual(cluster?.center.bugs, []);
  });

  const page = (): Page => watched.page;
  const events = () => cluster.center.center.cluster.events;
  /** Gone, if the page is loaded anew. */
  const markPage = () => page().evaluate(() => Object.assign(globalThis, { isSamePage: true }));
  const isSamePage = () => page().evaluate(() => 'isSamePage' in globalThis);
  /** The browser notes what it could not reach, and what was refused; nobody else shall complain. */
  const complaints = (of = watched) =>
    of.failures.filter(
      (text) =>
        !/ERR_(EMPTY_RESPONSE|CONNECTION|SOCKET|NETWORK)|WebSocket|status of 409/.test(text),
    );

  describe('a viewer', () => {
    let viewer: Watched;
    const changing: string[] = [];

    before(async () => {
      viewer = await open(browser, cluster.center.url);
      viewer.page.on('request', (request) => {
        const path = new URL(request.url()).pathname;
        if (request.method() !== 'GET') changing.push(`${request.method()} ${path}`);
      });
      await logIn(viewer.page, 'vera', password);
      changing.length = 0;
    });
    after(() => viewer.page.context().close());

    test('whatever can be pressed on any page, nothing is asked that would be refused', async () => {
      const own = viewer.page;
      const inNavigation = await own
        .getByRole('navigation')
        .first()
        .getByRole('link')
        .evaluateAll((links) => links.map((link) => link.getAttribute('href')!));
      const { vms } = cluster;
      const one = vms.find(({ isOff }) => !isOff)!.name;
      await own.goto(`/vms/${one}`);
      await own.getByRole('tab').first().waitFor();
      const tabs = await own.getByRole('tab').allTextContents();
      assert.ok(tabs.length > 3 && !tabs.includes('Console'), String(tabs));
      const paths = tabs.map((tab) => `/vms/${one}/${tab.toLowerCase().replaceAll(' ', '-')}`);
      const off = vms.find(({ isOff }) => isOff)!.name;
      for (const path of [...inNavigation, ...paths, `/vms/${off}`]) {
        await own.goto(path);
        await own.getByRole('heading', { level: 1 }).waitFor();
        const buttons = own.locator('main button:not([aria-disabled=true], [disabled])');
        for (let at = 0; at < (await buttons.count()); at++) {
          const button = buttons.nth(at);
          if (!(await button.isVisible())) continue;
          const name = (await button.textContent()) || (await button.getAttribute('aria-label'));
          await button.click();
          const sends = own.getByRole('dialog').locator('button[type=submit]');
          if (name === 'Create API token' && endpoints.createApiToken.access === 'viewer') {
            // What viewers may do: make tokens of their own.
            await own.keyboard.press('Escape');
            continue;
          }
          assert.equal(await sends.count(), 0, `${path}: "${name}" opens a form`);
          await own.keyboard.press('Escape');
        }
        assert.deepEqual(changing, [], path);
      }
      assert.deepEqual(viewer.failures, []);
    });

    test('and the API refuses what is asked all the same', async () => {
      const one = cluster.vms[0]!.name;
      const refused = await viewer.page.evaluate(async (vm) => {
        const asked = await fetch('/api/v1/sessions/current');
        const { csrfToken } = (await asked.json()) as { csrfToken: string };
        const reply = await fetch(`/api/v1/vms/${vm}/stop`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-csrf-token': csrfToken },
          body: JSON.stringify({ how: 'power-off' }),
        });
        const { code, remedy } = (await reply.json()) as { code: string; remedy: string };
        return { status: reply.status, code, remedy };
      }, one);
      assert.deepEqual([refused.status, refused.code], [403, 'access-denied']);
      assert.notEqual(refused.remedy, '');
    });
  });

  test('a page that somebody has the address of is there behind the login', async () => {
    const own = await open(browser, cluster.center.url);
    const one = cluster.vms[0]!.name;
    await own.page.goto(`/vms/${one}/events`);
    await own.page.getByLabel('User').fill('olga');
    await own.page.getByLabel('Password', { exact: true }).fill(password);
    await own.page.getByRole('button', { name: 'Log in' }).click();
    await own.page.getByRole('heading', { level: 1, name: one }).waitFor();
    const tab = own.page.getByRole('tab', { name: 'Events' });
    assert.equal(await tab.getAttribute('aria-selected'), 'true');
    await own.page.context().close();
  });

  test('a session that runs out says so, leads to the login, and back to the page', async () => {
    await page().goto('/hosts');
    await page().getByLabel('Filter hosts').fill('host2');
    await markPage();
    const { store } = cluster.center.center.cluster;
    const past = new Date(Date.now() - 1000).toISOString();
    for (const session of store.all<{ hash: string; user: string }>('sessions')) {
      if (session.user === 'olga')
        store.put('sessions', session.hash, { ...session, expires: past });
    }
    const again = page().getByRole('dialog', { name: 'Log in again' });
    await again.getByText(/session has (expired|ended)/).waitFor();
    await again.getByLabel('Password of olga').fill(password);
    await again.getByRole('button', { name: 'Log in' }).click();
    await again.waitFor({ state: 'detached' });
    assert.equal(await page().getByLabel('Filter hosts').inputValue(), 'host2');
    assert.ok(page().url().endsWith('/hosts') && (await isSamePage()));
    // And it is live again.
    const two = cluster.hosts.find(({ name }) => name === 'host2')!;
    cluster.lose(two);
    await page().getByRole('row', { name: /host2/ }).getByText('Not responding').waitFor();
    cluster.connect([two]);
    await page().getByRole('row', { name: /host2/ }).getByText('Connected').waitFor();
    assert.deepEqual(complaints(), []);
  });

  test('a connection that breaks is made again: what happened meanwhile is there, once', async () => {
    await page().goto('/');
    await page()
      .locator('.u-events')
      .getByText(/is connected/)
      .first()
      .waitFor();
    await markPage();
    const happens = (number: number) =>
      events().add('command-failed', `happened ${number}`, { host: 'host1' });
    happens(1);
    await page().getByText('happened 1', { exact: true }).waitFor();
    for (const numbers of [
      [2, 3],
      [4, 5],
    ]) {
      cable.cut();
      await page()
        .getByText(/What you see may be old/)
        .waitFor();
      const lost = cluster.hosts[0]!;
      for (const number of numbers) happens(number);
      if (numbers[0] === 4) cluster.lose(lost);
      cable.mend();
      await page().getByText(`happened ${numbers[1]}`, { exact: true }).waitFor();
      await page()
        .getByText(/What you see may be old/)
        .waitFor({ state: 'detached' });
      if (numbers[0] === 4) {
        await page().getByText('host1 is not responding').first().waitFor();
        cluster.connect([lost]);
      }
    }
    happens(6);
    await page().getByText('happened 6', { exact: true }).waitFor();
    const shown = await page()
      .locator('.u-events')
      .getByText(/^happened \d$/)
      .allTextContents();
    assert.deepEqual(
      shown,
      [6, 5, 4, 3, 2, 1].map((number) => `happened ${number}`),
    );
    assert.ok(await isSamePage());
    assert.deepEqual(complaints(), []);
  });

  describe('forms', () => {
    /** What every field holds. */
    const held = (dialog: Locator) =>
      dialog.locator('input:not([type=hidden])').evaluateAll((inputs) =>
        inputs.map((input) => {
          const { value, checked, type } = input as unknown as Record<string, unknown>;
          return type === 'checkbox' ? checked : value;
        }),
      );

    /** Sent while nobody is there, then to a center that refuses: both say why, and nothing is lost. */
    async function losesNothing(dialog: Locator, verb: string, refusal?: RegExp): Promise<void> {
      const typed = await held(dialog);
      assert.ok(typed.length > 0 && typed.every((value) => value !== ''), String(typed));
      const send = dialog.getByRole('button', { name: verb, exact: true });
      cable.cut();
      await send.click();
      const alert = dialog.getByRole('alert');
      await alert.getByText(/Check that it runs and can be reached, then try again/).waitFor();
      assert.deepEqual(await held(dialog), typed, 'the connection was cut');
      cable.mend();
      await page()
        .getByText(/What you see may be old/)
        .waitFor({ state: 'detached' });
      if (refusal !== undefined) {
        await send.click();
        await alert.getByText(refusal).first().waitFor();
        await alert.locator('.u-remedy').waitFor();
        assert.deepEqual(await held(dialog), typed, 'the center refused it');
      }
      await dialog.getByRole('button', { name: 'Cancel' }).click();
      await dialog.waitFor({ state: 'detached' });
      assert.deepEqual(complaints(), []);
    }

    test('a new VM', async () => {
      await page().goto('/vms');
      await page().getByRole('button', { name: 'Create VM' }).click();
      const dialog = page().getByRole('dialog');
      const { name } = cluster.vms[0]!;
      await dialog.getByRole('button', { name: 'Create', exact: true }).click();
      await dialog.getByText(/Give .*lower-case letters/).waitFor();
      await dialog.getByLabel('Name').fill(name);
      await dialog.getByRole('combobox', { name: 'Image' }).click();
      await page().getByRole('option', { name: /^tiny/ }).click();
      await dialog.getByLabel('CPUs').fill('2');
      await dialog.getByLabel('Memory (MiB)').fill('64');
      await dialog.getByRole('combobox', { name: 'Host' }).click();
      await page().getByRole('option', { name: 'host3' }).click();
      await dialog.getByRole('checkbox').uncheck();
      await losesNothing(dialog, 'Create', /already|exists/);
    });

    test('a snapshot, and a larger disk', async () => {
      const { name } = cluster.vms.find(({ isOff, hasDisks }) => isOff && hasDisks)!;
      // Nobody who could take it.
      const away = cluster.hosts.filter(({ socket }) => socket.readyState === 1);
      for (const host of away) cluster.lose(host);
      await page().goto(`/vms/${name}/snapshots`);
      await page().getByRole('button', { name: 'Take a snapshot' }).click();
      const dialog = page().getByRole('dialog');
      await dialog.getByLabel('Name').fill('before');
      await losesNothing(dialog, 'Take it', /./);
      cluster.connect(away);
      await page().getByRole('tab', { name: 'Disks' }).click();
      await page().getByRole('button', { name: /^Grow/ }).first().click();
      await dialog.getByLabel('New size (MiB)').fill('99999');
      await losesNothing(dialog, 'Grow');
    });
  });

  test('what the forms accept is what the API takes, and nothing else', async () => {
    const token = await cluster.center.tokenOf('administrator');
    const some = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
    const bodies = {
      createVm: fc.record({
        name: some<unknown>('web-1', 'No Such', '', '-a', 'a'.repeat(64), 7),
        image: some<unknown>('tiny', '', 3),
        cpus: some<unknown>(1, 8, 0, 9, 1.5, '2', Number.NaN),
        memoryBytes: some<unknown>(2 ** 26, 0, -1, 1, 2 ** 60, 'much'),
        host: some<unknown>('host1', '', 5),
        ft: some<unknown>(true, 'yes'),
      }),
      takeSnapshot: fc.record({ name: some<unknown>('before', 'Be Fore', '', 1) }),
      cloneVm: fc.record({
        name: some<unknown>('web-1', 'No Such', ''),
        snapshot: some<unknown>('before', '', 1),
      }),
    } satisfies Partial<Record<EndpointName, unknown>>;
    const { raw } = cluster.center;
    for (const [name, body] of Object.entries(bodies) as [
      keyof typeof bodies,
      fc.Arbitrary<object>,
    ][]) {
      const { method, path } = endpoints[name];
      const at = `/api/v1${path.replace(':vm', cluster.vms[0]!.name)}`;
      await fc.assert(
        fc.asyncProperty(body, async (typed) => {
          const errors = fieldErrors(endpoints[name], typed);
          const sent = { method, token, body: JSON.stringify(typed) };
          const { json } = await raw.call(cluster.center, at, sent);
          const isMalformed = json['code'] === 'request-malformed';
          assert.equal(Object.keys(errors).length > 0, isMalformed, JSON.stringify(json));
        }),
        { numRuns: 60 },
      );
    }
  });
});
