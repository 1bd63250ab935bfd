/** What a preview of maintenance says is what maintenance then does. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { UmbraError } from '../base/errors.ts';
import { TestCenter, until } from './cluster.fixture.ts';
import { ActingHosts } from './lifecycle.fixture.ts';

describe('the preview of maintenance', () => {
  let center: TestCenter;
  let hosts: ActingHosts;
  before(async () => {
    center = await TestCenter.start();
    center.addImage('tiny');
    hosts = await ActingHosts.start(center, 'a', 'b', 'c', 'd');
    const vms = [
      ['web', 'a', true],
      ['plain', 'a', false],
      ['cache', 'b', true],
      ['mail', 'c', true],
      ['search', 'd', true],
    ] as const;
    for (const [name, host, ft] of vms) {
      await center.client.call('createVm', { body: { name, image: 'tiny', host, ft } });
      await center.client.call('startVm', { params: { vm: name }, body: {} });
      await settled(name, ft ? 'running' : 'notConfigured');
    }
    await center.client.call('migrateShadow', { params: { vm: 'mail' }, body: { host: 'a' } });
    await until('its shadow is on a', async () => {
      const [, shadow] = await place('mail');
      return shadow === 'a' || undefined;
    });
    await settled('mail', 'running');
  });
  after(async () => {
    await hosts.close();
    await center.close();
    assert.equal(hosts.failure, undefined);
  });

  const status = (vm: string) => center.client.call('ftStatus', { params: { vm } });
  const settled = (vm: string, state: string) =>
    until(`${vm} ${state}`, async () => {
      const ft = await status(vm);
      return (ft.state === state && ft.primary !== null) || undefined;
    });
  const place = async (vm: string) => {
    const { primary, shadow } = await status(vm);
    return [primary?.host, shadow?.host];
  };
  const preview = (host: string) => center.client.call('previewMaintenance', { params: { host } });
  const maintenance = (host: string, on: boolean) =>
    center.client.call('setMaintenance', { params: { host }, body: { on } });
  const empty = (host: string) =>
    until(`${host} is empty`, async () => {
      const { maintenance: is } = await center.client.call('showHost', { params: { host } });
      return is?.isEmpty || undefined;
    });

  test('says where each copy goes, and each goes there', async () => {
    const before = await preview('a');
    assert.deepEqual(await preview('a'), before, 'it changes nothing');
    assert.equal(before.isPossible, true);
    const of = (vm: string) => before.moves.find((move) => move.vm === vm);
    const [, webShadow] = await place('web');
    assert.equal(of('web')?.how, 'take-over');
    assert.equal(of('web')?.to, webShadow);
    assert.equal(of('plain')?.how, 'migrate');
    assert.equal(of('plain')?.shadow, null);
    assert.equal(of('mail')?.how, 'move-shadow');
    await maintenance('a', true);
    await empty('a');
    for (const { vm, copy, to, shadow } of before.moves) {
      if (vm !== 'plain') await settled(vm, 'running');
      const [live, other] = await place(vm);
      assert.equal(copy === 'live' ? live : other, to, `the ${copy} copy of ${vm}`);
      if (shadow !== null) assert.equal(other, shadow.to, `the next shadow of ${vm}`);
    }
    await maintenance('a', false);
  });

  test('says why a copy would stay, and who would be without a shadow', async () => {
    const [live, shadow] = await place('web');
    const others = ['a', 'b', 'c', 'd'].filter((name) => name !== live && name !== shadow);
    for (const name of others) {
      await maintenance(name, true);
      await empty(name);
    }
    const ofShadow = await preview(shadow!);
    assert.equal(ofShadow.isPossible, false);
    const stays = ofShadow.moves.find(({ vm, copy }) => vm === 'web' && copy === 'shadow');
    assert.equal(stays?.to, null);
    assert.match(stays?.why ?? '', /is in maintenance/);
    const ofLive = await preview(live!);
    const web = ofLive.moves.find(({ vm }) => vm === 'web');
    assert.equal(web?.to, shadow);
    assert.equal(web?.shadow?.to, null);
    assert.match(web?.shadow?.why ?? '', /is in maintenance/);
  });

  test('is for hosts only', async () => {
    await assert.rejects(preview('nobody'), (error) => {
      assert.equal((error as UmbraError).code, 'host-unknown');
      return true;
    });
  });
});
