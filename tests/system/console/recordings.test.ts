/**
 * Recordings in a browser, at a cluster of processes: a Linux guest is recorded, its recording looked
 * at as a timeline with the screen as it was, fetched, and the VM put back to a place of it.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { type Console, openConsole } from '../../../src/api/console.ts';
import {
  assertAccessible,
  assertAccessibleInBoth,
  launch,
  logIn,
  noBrowser,
  open,
  type Watched,
} from '../../console/browser.fixture.ts';
import { eventually } from '../../wait.fixture.ts';
import { ProcessCluster } from '../cluster.fixture.ts';
import { imagesMissing } from '../umbra.fixture.ts';

const password = 'correct horse battery';
const vm = 'web';
const params = { vm };
const waitMsMax = 30_000;
/** Beside a strip, as pages/recording/strips.tsx has them. */
const [axisPx, rightPx] = [74, 10];
const noImage = noBrowser || ((await imagesMissing('tiny')) ?? false);

describe('recordings', { skip: noImage }, () => {
  let cluster: ProcessCluster;
  let browser: Browser;
  let watched: Watched;
  let serial: Console;
  let said = '';

  before(async () => {
    const started = ProcessCluster.start({ hosts: 1, gateway: false });
    [cluster, browser] = await Promise.all([started, launch()]);
    for (const [name, role] of [
      ['olga', 'operator'],
      ['vera', 'viewer'],
    ] as const) {
      await client().call('createUser', { body: { name, role, password } });
    }
    await client().call('createVm', { body: { name: vm, image: 'tiny' } });
    await client().call('startVm', { params, body: {} });
    attach();
    watched = await open(browser, client().wire.url, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await logIn(page(), 'olga', password);
    await saying('umbra: tiny ready');
  });
  after(async () => {
    serial?.close();
    await browser?.close();
    await cluster?.close();
  });

  const client = () => cluster.client;
  const page = (): Page => watched.page;
  const rows = (of = page()) => of.locator('.u-screen .xterm-rows');
  const slider = (of = page()) => of.getByRole('slider', { name: 'Place in the recording' });
  const dialog = () => page().getByRole('dialog');
  const accessible = (where: string) => assertAccessibleInBoth(watched, where);
  const row = (name: RegExp) => page().getByRole('row', { name });
  const timeline = (recording: string) =>
    client().call('showRecordingTimeline', { params: { vm, recording } });

  function attach(): void {
    said = '';
    serial = openConsole(client(), vm, {
      onOutput: (bytes) => {
        said += Buffer.from(bytes).toString('latin1');
      },
      onEnd: () => {},
    });
  }
  const saying = (text: string) => eventually(text, waitMsMax, () => said.includes(text));
  async function type(text: string, answer: string): Promise<void> {
    serial.input(Buffer.from(text));
    await saying(answer);
  }
  /** When this text was whole on the console of `walk`, seconds of the guest's clock. */
  async function saidAt(text: string): Promise<number> {
    const asked = { params: { vm, recording: 'walk' }, query: {} };
    const { seconds, lengths, bytes } = await client().call('readRecordingConsole', asked);
    const end = Buffer.from(bytes, 'base64').toString('latin1').indexOf(text) + text.length;
    let [piece, at] = [0, lengths[0]!];
    while (at < end) at += lengths[++piece]!;
    return seconds[piece]!;
  }
  const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  test('a VM is recorded from a form, and its recording is under way until it is stopped', async () => {
    await page().goto(`/vms/${vm}/recordings`);
    await page().getByText('No recordings yet').waitFor();
    await accessible('no recordings');
    await page().getByRole('button', { name: 'Record', exact: true }).click();
    await dialog().getByLabel('Name').fill('Not A Name');
    await dialog().getByRole('button', { name: 'Record' }).click();
    await dialog()
      .getByText(/lower-case letters/)
      .last()
      .waitFor();
    await accessible('the form of a recording');
    await dialog().getByLabel('Name').fill('walk');
    await dialog().getByRole('button', { name: 'Record' }).click();
    await row(/walk Recording host1/).waitFor();
    await type('echo $((6 * 7)) is it\n', '42 is it');
    await row(/walk Recording.*MiB.*Mbit/).waitFor();
    await page().getByRole('link', { name: 'walk', exact: true }).click();
    await page().getByText('It is under way').waitFor();
    await accessible('one that is under way');
    await assert.rejects(timeline('walk'), { code: 'recording-under-way' });
    await pass(1_500);
    await type('echo $((6 * 8)) is the end\n', '48 is the end');
    await page().getByRole('button', { name: 'Stop walk' }).click();
  });

  test('its timeline comes by itself, and its screen is as it was at every place', async () => {
    await rows().getByText('48 is the end').waitFor({ timeout: waitMsMax });
    const shown = await timeline('walk');
    const sum = (values: readonly number[]) => values.reduce((all, each) => all + each, 0);
    const typed = 'echo $((6 * 7)) is it\necho $((6 * 8)) is the end\n'.length;
    assert.equal(sum(shown.typed), typed);
    assert.equal(
      sum(shown.instructions),
      Number(BigInt(shown.to.count) - BigInt(shown.from.count)),
    );
    assert.equal(sum(shown.replayed!.shown), shown.replayed!.consoleBytes);
    assert.ok(
      shown.events.some(({ kind }) => kind === 'vm-recording-ended' || kind === 'task-ended'),
    );
    await page()
      .getByRole('img', { name: /^CPU: Instructions \d.* in all, at most/ })
      .waitFor();
    await page()
      .getByRole('img', { name: new RegExp(`^Console: Shown .*; Typed ${typed}\\.0 B in all`) })
      .waitFor();
    await slider().focus();
    await page().keyboard.press('Home');
    await eventually('an early screen', waitMsMax, async () => {
      const text = (await rows().textContent())!;
      return !text.includes('42 is it') && !text.includes('48 is the end');
    });
    assert.match((await slider().getAttribute('aria-valuetext'))!, /^0:00.000, count [\d,]+$/);
    await page().keyboard.press('ArrowRight');
    assert.match((await slider().getAttribute('aria-valuetext'))!, /^0:00.0\d\d, count [\d,]+$/);
    // By a pointer to where the first answer is there, and the second one not yet.
    const [first, second] = [await saidAt('42 is it'), await saidAt('48 is the end')];
    const part =
      ((first + second) / 2 - shown.from.seconds) / (shown.to.seconds - shown.from.seconds);
    const strips = page().locator('.u-strips');
    const { width } = (await strips.boundingBox())!;
    await strips.click({ position: { x: axisPx + (width - axisPx - rightPx) * part, y: 40 } });
    await rows().getByText('42 is it').waitFor();
    assert.doesNotMatch((await rows().textContent())!, /48 is the end/);
    const [place] = /time:[\d.]+/.exec((await page().locator('.u-here').textContent())!)!;
    // The slider counts whole milliseconds from the beginning, which is not at one.
    const byTheSlider =
      shown.from.seconds + Number(await slider().getAttribute('aria-valuenow')) / 1_000;
    assert.ok(Math.abs(Number(place.slice('time:'.length)) - byTheSlider) < 0.002, place);
    await accessible('a recording');
    await page().getByRole('button', { name: 'Copy the replay command' }).click();
    const copied = await page().evaluate('navigator.clipboard.readText()');
    assert.equal(
      copied,
      `umbra record export web walk --to walk.tar.zst && tar --zstd -xf walk.tar.zst && umbra replay walk --until ${place}`,
    );
    await page().getByRole('button', { name: 'Go live here as a new VM' }).click();
    await dialog().getByText(`umbra replay walk --go-live --until ${place}`).waitFor();
    await assertAccessible(page(), 'going live');
    await dialog().getByLabel('Name of the new VM').fill('web-then');
    await dialog().getByRole('button', { name: 'Go live', exact: true }).click();
    await page().getByRole('link', { name: 'web-then', exact: true }).waitFor();
  });

  test('the new VM goes on from there, apart from every network', async () => {
    const then = { vm: 'web-then' };
    const view = await eventually('it is on', waitMsMax, async () => {
      const made = await client().call('showVm', { params: then });
      return made.state === 'poweredOn' ? made : undefined;
    });
    const { mac } = await client().call('showVm', { params });
    assert.deepEqual([view.isolated, view.mac], [true, mac]);
    let answered = '';
    const own = openConsole(client(), 'web-then', {
      onOutput: (bytes) => {
        answered += Buffer.from(bytes).toString('latin1');
      },
      onEnd: () => {},
    });
    // What was typed behind that place never was; the one that was recorded knows nothing of it.
    own.input(Buffer.from('echo $((7 * 7)) is elsewhere\n'));
    await eventually('an answer', waitMsMax, () => answered.includes('49 is elsewhere'));
    assert.ok(!answered.includes('48 is the end'), answered);
    assert.ok(!said.includes('49 is elsewhere'));
    own.close();
    await page().goto('/vms/web-then');
    await page().getByText('apart from every network').first().waitFor();
    await client().call('stopVm', { params: then, body: { how: 'power-off' } });
    await page().goto(`/vms/${vm}/recordings/walk`);
    await rows().getByText('48 is the end').waitFor();
  });

  test('it plays, and stops at its end', async () => {
    await slider().focus();
    await page().keyboard.press('Home');
    await page().getByRole('button', { name: 'Play', exact: true }).click();
    // At ten times its speed it may be over before this is seen.
    await page().getByRole('button', { name: 'Pause' }).waitFor();
    await page().getByText('10×', { exact: true }).click();
    await rows().getByText('48 is the end').waitFor();
    await page().getByRole('button', { name: 'Play', exact: true }).waitFor();
    const [now, most] = await Promise.all([
      slider().getAttribute('aria-valuenow'),
      slider().getAttribute('aria-valuemax'),
    ]);
    assert.equal(now, most);
    assert.deepEqual(watched.failures, []);
  });

  test("it is fetched by the browser's own download", async () => {
    const [download] = await Promise.all([
      page().waitForEvent('download'),
      page().getByRole('link', { name: 'Download walk' }).click(),
    ]);
    assert.equal(download.suggestedFilename(), 'web-walk.tar.zst');
    const names = execFileSync('tar', ['--zstd', '-tf', await download.path()], {
      encoding: 'utf8',
    });
    assert.match(names, /^walk\/machine\.json$/m);
    assert.doesNotMatch(names, /looks|replayed/);
  });

  test('the VM is put back to a place by whoever types its name', async () => {
    await slider().focus();
    await page().keyboard.press('Home');
    await page().getByRole('button', { name: 'Rewind the VM to here' }).click();
    await dialog()
      .getByText(/is undone, acknowledged or not/)
      .waitFor();
    await dialog().getByRole('button', { name: 'Rewind it' }).click();
    await dialog().getByText('Type web to go on.').waitFor();
    await accessible('a rewind');
    await dialog()
      .getByLabel(/The name of the VM/)
      .fill('web');
    serial.close();
    await dialog().getByRole('button', { name: 'Rewind it' }).click();
    await eventually('the rewind', waitMsMax, async () =>
      (await client().call('listEvents', { query: { vm } })).some(
        ({ kind }) => kind === 'vm-rewound',
      ),
    );
    attach();
    await eventually(
      'it is on',
      waitMsMax,
      async () => (await client().call('showVm', { params })).state === 'poweredOn',
    );
    await type('echo $((6 * 9)) is another way\n', '54 is another way');
  });

  test('what the flight recorder holds is kept, and a damaged recording says so', async () => {
    await page().goto(`/vms/${vm}/recordings`);
    await page().getByRole('button', { name: 'Turn on' }).click();
    await dialog().getByLabel('Minutes').fill('5');
    await dialog().getByRole('button', { name: 'Set', exact: true }).click();
    await page()
      .getByText(/Holds the last 5 minutes of web/)
      .waitFor();
    // Its first moment has to have begun.
    await pass(3_000);
    await page().getByRole('button', { name: 'Keep what it holds' }).click();
    await dialog().getByLabel('Name').fill('kept');
    await dialog().getByRole('button', { name: 'Keep them' }).click();
    await row(/kept Kept host1/).waitFor();
    await accessible('recordings');
    const { id } = (await client().call('listRecordings', { params })).find(
      ({ name }) => name === 'kept',
    )!;
    const { id: vmId } = await client().call('showVm', { params });
    const folder = join(cluster.folderOf('host1'), 'vms', vmId, 'recordings', id);
    for (const name of readdirSync(folder)) {
      if (name.startsWith('log-')) rmSync(join(folder, name));
    }
    await page().getByRole('link', { name: 'kept', exact: true }).click();
    await page().getByText('Problem code: recording-damaged').waitFor();
    await page()
      .getByText(/it has no log/)
      .waitFor();
    await page().goto(`/vms/${vm}/recordings`);
    await page().getByRole('button', { name: 'Delete kept' }).click();
    await dialog().getByRole('button', { name: 'Delete', exact: true }).click();
    await row(/kept Kept/).waitFor({ state: 'detached' });
  });

  test('a viewer looks, and changes nothing', async () => {
    const own = await open(browser, client().wire.url);
    await logIn(own.page, 'vera', password);
    await own.page.goto(`/vms/${vm}/recordings`);
    await own.page.getByRole('link', { name: 'walk', exact: true }).waitFor();
    assert.equal(await own.page.getByRole('button', { name: /^(Delete|Rewind to)/ }).count(), 0);
    assert.equal(await own.page.getByRole('link', { name: /^Download/ }).count(), 0);
    await own.page.goto(`/vms/${vm}/recordings/walk`);
    await own.page.getByText('What the guest said is for people of the role operator.').waitFor();
    await own.page.getByRole('img', { name: /^Network: Received/ }).waitFor();
    await assertAccessible(own.page, "a viewer's recording");
    await own.page.close();
  });

  test('where its host is away, the page says so', async () => {
    serial.close();
    await cluster.kill('host1');
    await page().goto(`/vms/${vm}/recordings/walk`);
    await page().getByText('Problem code: host-not-responding').waitFor({ timeout: waitMsMax });
    await page().goto(`/vms/${vm}/recordings`);
    await page().getByText('not responding').first().waitFor();
    await assertAccessible(page(), 'recordings of a host that is away');
  });
});
