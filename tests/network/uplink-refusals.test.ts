/**
 * What `umbra host start --uplink` says when it cannot: in a namespace of its own, the real command
 * against the real kernel. Nothing is asked of a center, which is not there.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { Lab, labMissing, type Machine } from './lab.fixture.ts';

const why = labMissing();
const options = { skip: why ?? false, timeout: 60_000 };
const program = resolve(import.meta.dirname, '../../src/cli/main.ts');
/** The same user without CAP_NET_ADMIN. */
const powerless = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];

let lab: Lab;
let machine: Machine;

before(() => {
  if (why !== undefined) return;
  lab = new Lab();
  machine = lab.machine('alone');
  machine.bridge('br0');
  machine.ip('link', 'set', 'br0', 'mtu', '1400');
});

after(() => lab?.close());

/** @returns what the command says on standard error */
function start(uplink: string, before: readonly string[] = []): string {
  const data = join(lab.folder, 'data');
  const args = ['host', 'start', '--join', 'https://127.0.0.1:1', '--data', data];
  const { status, stderr } = spawnSync(
    'ip',
    ['netns', 'exec', machine.name, ...before, process.execPath, program, ...args].concat([
      '--token',
      'x',
      '--uplink',
      uplink,
    ]),
    { encoding: 'utf8' },
  );
  assert.equal(status, 1, stderr);
  return stderr;
}

test('no such device, or one that is neither bridge nor TAP device', options, () => {
  assert.match(start('br7'), /no network interface br7.*ip link add name br7 type bridge/s);
  assert.match(start('lo'), /lo is neither a bridge nor a TAP device/);
  assert.match(start('a name/with slashes'), /cannot be the name of a network interface/);
});

test('a bridge that is down', options, () => {
  machine.ip('link', 'add', 'name', 'br1', 'type', 'bridge');
  assert.match(start('br1'), /br1 is down.*ip link set br1 up/s);
});

test('no rights', options, () => {
  const said = start('br0', powerless);
  assert.match(said, /this process may not \(EPERM\)/);
  assert.match(said, /CAP_NET_ADMIN/);
});

test('a TAP device that another process has', options, async () => {
  machine.ip('tuntap', 'add', 'dev', 'tap7', 'mode', 'tap');
  const probe = lab.probe(machine, 'tap7');
  await probe(0, '10.99.0.1');
  assert.match(start('tap7'), /tap7 is in use by another process/);
});

test('with the device in hand, the next thing missed is a join token', options, () => {
  assert.match(start('br0'), /not a join token/);
  assert.doesNotMatch(machine.ip('link'), /umbra0/, 'the device is gone with the process');
  assert.match(machine.ip('link', 'show', 'br0'), /mtu 1400/);
});

test('a TAP device made for a user needs no rights', options, () => {
  machine.ip('tuntap', 'add', 'dev', 'tap8', 'mode', 'tap', 'user', '0');
  machine.ip('link', 'set', 'tap8', 'up');
  const script = `
    import { TapDevice } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/host/uplink/tap-device.ts'))};
    const device = TapDevice.open('tap8');
    console.log(device.name, device.write(new Uint8Array(60).fill(2)));
    process.exit(0);`;
  const said = machine.run(
    ...[...powerless, process.execPath, '--input-type=module', '--eval', script],
  );
  assert.equal(said.trim(), 'tap8 true');
});
