/**
 * Debian with systemd, as `umbra run --image debian` gives it to everybody and as QEMU boots it: no
 * unit has failed, networkd has an address, resolved knows whom to ask, power-off is orderly.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { UmbraError } from '../../src/base/errors.ts';
import type { Image } from '../../src/images/image.ts';
import { umbra } from '../system/umbra.fixture.ts';
import { builtImage } from './built-image.ts';
import { Guest, qemuMissing } from './qemu.fixture.ts';

const built = await builtImage('debian').catch((error: unknown) => {
  if (error instanceof UmbraError) return error;
  throw error;
});
const skip = built instanceof UmbraError ? `no image: ${built.message}` : false;
const image = built as Image;

const questions = [
  'systemctl is-system-running --wait',
  'systemctl --no-legend --failed',
  'ip -color=never -4 -brief address show eth0',
  'resolvectl dns eth0',
  'loginctl --no-legend list-seats',
  'findmnt --noheadings --output FSTYPE,OPTIONS /tmp',
];
const asked = `export SYSTEMD_COLORS=0 SYSTEMD_PAGER=; ${questions.join('; ')}; systemctl poweroff\n`;

function answersAre(console: string, address: string, gateway: string): void {
  const answers = console.slice(console.lastIndexOf('running\r\n')).split('\r\n');
  assert.equal(answers[0], 'running', console.slice(-2000));
  assert.match(answers[1]!, new RegExp(`^eth0 +UP +${address}/`));
  assert.match(answers[2]!, new RegExp(`eth0\\): ${gateway}`));
  assert.equal(answers[3], 'seat0');
  assert.match(answers[4]!, /^tmpfs +rw,nosuid,nodev/);
}

/** From power-on to power-off; 2.6 thousand million of it are the boot. */
const instructionsMax = 4.5e9;

describe('a Debian with systemd', { skip }, () => {
  test('on Umbra', async (context) => {
    const ran = await umbra(
      ['run', '--image', image.name, '--json'],
      [
        { after: image.ready, input: '' },
        { after: `${image.prompt} `, input: asked },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr.slice(-2000));
    answersAre(ran.stderr, '10\\.86\\.0\\.15', '10\\.86\\.0\\.1');
    assert.match(ran.stderr, /reboot: Power down/);
    const { instructions, seconds } = JSON.parse(ran.stdout) as Record<string, number>;
    context.diagnostic(`${instructions} instructions, ${seconds} s`);
    assert.ok(instructions! < instructionsMax, String(instructions));
  });

  test('on QEMU', { skip: qemuMissing }, async () => {
    const network = ['-netdev', 'user,id=net', '-device', 'virtio-net-device,netdev=net'];
    const guest = new Guest(image, [...network, '-device', 'virtio-rng-device']);
    after(() => guest.kill());
    const secondsMax = 240;
    await guest.shows(new RegExp(`${image.ready}[^]*${image.prompt} `), secondsMax);
    guest.type(asked);
    const console = await guest.shows(/reboot: Power down/, secondsMax);
    assert.equal(await guest.exited, 0);
    answersAre(console, '10\\.0\\.2\\.15', '10\\.0\\.2\\.3');
  });
});
