/**
 * A real browser for tests of the console: Debian's Chromium, driven by playwright-core. What a page
 * writes to its console as an error, what its policy forbids, and what axe finds are failures.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const waitMsMax = 15_000;
const executablePath = '/usr/bin/chromium';

/** Why tests with a browser are skipped; false if they are not. */
export const noBrowser: string | false = existsSync(executablePath)
  ? false
  : 'there is no /usr/bin/chromium (Debian: apt-get install chromium)';

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  });
}

/** What went wrong on a page beside what the test looks at. */
export interface Watched {
  readonly page: Page;
  readonly failures: readonly string[];
}

/** @param origin the center's URL: its CA is the cluster's own, which no browser knows */
export async function open(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<Watched> {
  const context = await browser.newContext({
    ...{ baseURL: origin, ignoreHTTPSErrors: true, viewport: { width: 1280, height: 720 } },
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(waitMsMax);
  const failures: string[] = [];
  page.on('pageerror', (error) => failures.push(`threw ${error.stack ?? error.message}`));
  page.on('console', (message) => {
    // Before a login the page asks whether there is a session; the browser notes the 401 as error.
    const isAnswer = /Failed to load resource.*\b40[13]\b/.test(message.text());
    if (message.type() === 'error' && !isAnswer) failures.push(message.text());
  });
  return { page, failures };
}

export async function logIn(page: Page, user: string, password: string): Promise<void> {
  await page.goto('/');
  await page.getByLabel('User').fill(user);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
}

const axeSource = readFileSync(
  createRequire(import.meta.url).resolve('axe-core/axe.min.js'),
  'utf8',
);

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly help: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** Nothing serious by WCAG 2.2 AA, as far as a program can tell. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  // By the debugger, which the page's policy does not bind.
  await page.evaluate(axeSource);
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(options: object): Promise<{ violations: Violation[] }> };
    };
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const found = await axe.run({ runOnly: { type: 'tag', values: tags } });
    return found.violations;
  });
  const serious = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => {
      const where = nodes
        .slice(0, 3)
        .map(({ html, failureSummary }) => `${html}\n${failureSummary}`);
      return `${id}: ${help}\n${where.join('\n')}`;
    });
  assert.deepEqual(serious, [], where);
}

/** The page as it is, light and dark, and nothing that it has complained about until now. */
export async function assertAccessibleInBoth(
  { page, failures }: Watched,
  where: string,
): Promise<void> {
  await assertAccessible(page, where);
  await page.emulateMedia({ colorScheme: 'dark' });
  await assertAccessible(page, `${where}, dark`);
  await page.emulateMedia({ colorScheme: 'light' });
  assert.deepEqual(failures, [], where);
}
