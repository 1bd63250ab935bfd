/**
 * Umbra's own recipes, built from the machine's real mirror and booted by QEMU: the same bytes each
 * time, a shell that works, a Redis that answers and finds its data again.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { UmbraError } from '../../src/base/errors.ts';
import { freePort } from '../../src/cli/demo/ports.ts';
import { openRelease } from '../../src/images/archive.ts';
import { buildImage } from '../../src/images/build.ts';
import { decompressAll } from '../../src/images/compression.ts';
import { unpackDeb } from '../../src/images/deb.ts';
import { Downloader } from '../../src/images/download.ts';
import { elfSections, moduleInfo } from '../../src/images/elf.ts';
import type { Image } from '../../src/images/image.ts';
import { loadRecipe } from '../../src/images/recipe.ts';
import { slimModule } from '../../src/images/slim-module.ts';
import { aptSources, debianKeyrings } from '../../src/images/sources.ts';
import { Tree } from '../../src/images/tree.ts';
import { Guest, qemuMissing } from './qemu.fixture.ts';

const skip = qemuMissing || (await mirrorMissing());
const folder = mkdtempSync(join(tmpdir(), 'umbra-boot-'));
const home = join(folder, 'home');
after(() => rmSync(folder, { recursive: true, force: true }));

async function mirrorMissing(): Promise<string | false> {
  const from = new Downloader({});
  try {
    await openRelease(aptSources().mirrors, 'trixie', debianKeyrings(), from);
    return false;
  } catch (error) {
    if (error instanceof UmbraError) return `no Debian mirror: ${error.message}`;
    throw error;
  } finally {
    from.close();
  }
}

const network = (port: number): string[] => [
  '-netdev',
  `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:6379`,
  '-device',
  'virtio-net-device,netdev=net',
  '-device',
  'virtio-rng-device',
];
const disk = (path: string): string[] => [
  '-drive',
  `file=${path},format=raw,if=none,id=disk`,
  '-device',
  'virtio-blk-device,drive=disk',
];

/** Sends commands of Redis's inline form and waits for an answer that ends as expected. */
function redis(port: number, commands: readonly string[], until: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setTimeout(20_000, () => socket.destroy(new Error(`only "${answer}" came back`)));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      answer += chunk;
      if (!answer.endsWith(until)) return;
      socket.destroy();
      resolve(answer);
    });
    socket.write(commands.map((command) => `${command}\r\n`).join(''));
  });
}

/** Every relocation of a module with the symbol it names: section, value and name. */
function relocations(module: Uint8Array): string[] {
  const sections = elfSections(module);
  const symtab = sections.findIndex(({ type }) => type === 2);
  const symbols = Buffer.from(sections[symtab]!.bytes);
  const names = Buffer.from(sections[sections[symtab]!.link]!.bytes);
  const symbol = (at: number): string => {
    const name = symbols.readUInt32LE(at * 24);
    const text = names.toString('latin1', name, names.indexOf(0, name));
    return `${text} ${symbols.toString('hex', at * 24 + 4, at * 24 + 24)}`;
  };
  const found: string[] = [];
  for (const { name, type, bytes } of sections) {
    const table = Buffer.from(bytes);
    for (let at = 0; type === 4 && at < table.length; at += 24) {
      const place = `${table.readBigUInt64LE(at)} ${table.readUInt32LE(at + 8)}`;
      found.push(
        `${name} ${place} ${table.readBigInt64LE(at + 16)} ${symbol(table.readUInt32LE(at + 12))}`,
      );
    }
  }
  return found;
}

describe('images of the real archive', { skip }, () => {
  let tiny: Image;
  let withDisk: Image;

  test('they are built, and come out the same in another fresh home', async () => {
    tiny = await buildImage(loadRecipe('tiny'), { home });
    withDisk = await buildImage(loadRecipe('redis-disk'), { home });
    const again = await buildImage(loadRecipe('redis-disk'), { home: join(folder, 'again') });
    for (const file of readdirSync(withDisk.folder)) {
      const [first, second] = [withDisk, again].map((image) =>
        readFileSync(join(image.folder, file)),
      );
      assert.ok(first!.equals(second!), file);
    }
  });

  test('a slim module has the relocations of the whole one, by symbol', async () => {
    const packed = new Tree();
    const kernel = tiny.packages.find(({ name }) => name.startsWith('linux-image-'))!;
    const path = join(home, 'cache', 'sha256', kernel.sha256);
    await unpackDeb(path, 'the kernel', packed, (each) => each.endsWith('.ko.xz'));
    const all = packed.entries().filter(([, node]) => node.kind === 'file');
    for (const [name, node] of all.filter((_, at) => at % 150 === 0)) {
      const whole = await decompressAll((node as { bytes: Uint8Array }).bytes, name);
      const slim = slimModule(whole);
      assert.ok(slim.length < whole.length, name);
      assert.deepEqual(relocations(slim), relocations(whole), name);
      assert.deepEqual(moduleInfo(slim), moduleInfo(whole), name);
    }
  });

  test('tiny boots to a shell with job control, gets an address, switches itself off', async () => {
    const guest = new Guest(tiny, network(await freePort()));
    try {
      await guest.shows(new RegExp(`${tiny.ready}[^]*${tiny.prompt} `));
      guest.type(
        'until [ -e /run/lease ]; do sleep 0.1; done; ifconfig eth0; sleep 99 & jobs; tty',
      );
      const shown = await guest.shows(/\/dev\/ttyS0/);
      assert.match(shown, /inet addr:10\.0\.2\.15/);
      assert.match(shown, /\[1\]\+ +Running/);
      assert.doesNotMatch(shown, /job control turned off|not found|insmod:|panic/);
      guest.type('poweroff');
      assert.equal(await guest.exited, 0);
    } finally {
      guest.kill();
    }
  });

  test('tiny boots without any device but its console', async () => {
    const guest = new Guest(tiny, ['-net', 'none']);
    try {
      await guest.shows(new RegExp(`${tiny.ready}[^]*${tiny.prompt} `));
    } finally {
      guest.kill();
    }
  });

  test('redis serves as soon as it says so, and keeps its data on its disk', async () => {
    const data = join(folder, 'data.ext4');
    copyFileSync(withDisk.diskPaths[0]!, data);
    const port = await freePort();
    const first = new Guest(withDisk, [...network(port), ...disk(data)]);
    try {
      await first.shows(new RegExp(withDisk.ready));
      const answer = await redis(port, ['PING', 'SET name umbra', 'SAVE'], '+OK\r\n+OK\r\n');
      assert.equal(answer, '+PONG\r\n+OK\r\n+OK\r\n');
      first.type('');
      await first.shows(/# /);
      first.type('poweroff');
      assert.equal(await first.exited, 0);
    } finally {
      first.kill();
    }
    if (spawnSync('e2fsck', ['-V']).status === 0) {
      assert.equal(spawnSync('e2fsck', ['-fn', data]).status, 0, 'the file system is clean');
    }
    const second = new Guest(withDisk, [...network(port), ...disk(data)], 'appendonly=yes');
    try {
      await second.shows(new RegExp(withDisk.ready));
      const config = await redis(port, ['CONFIG GET appendonly'], 'yes\r\n');
      assert.match(config, /appendonly/);
    } finally {
      second.kill();
    }
    const third = new Guest(withDisk, [...network(port), ...disk(data)]);
    try {
      await third.shows(new RegExp(withDisk.ready));
      assert.equal(await redis(port, ['GET name'], 'umbra\r\n'), '$5\r\numbra\r\n');
    } finally {
      third.kill();
    }
  });
});
