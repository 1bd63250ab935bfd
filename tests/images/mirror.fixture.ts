/**
 * A small Debian archive on loopback, signed with a key made for the occasion: everything that a
 * build checks is real, and every file can be spoilt.
 *
 * It holds a kernel metapackage, a kernel with one module, a program with a library, and a package
 * that only a virtual name leads to.
 */
import { createHash } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createCleartextMessage, generateKey, readPrivateKey, sign } from 'openpgp';
import { pack } from 'tar-stream';
import { writeAr } from '../../src/images/ar.ts';

/** What a spoilt file is answered with instead; undefined answers 404. */
export type Spoil = (bytes: Uint8Array, response: ServerResponse) => Uint8Array | undefined;

export interface FakeMirror {
  readonly address: string;
  readonly keyring: Uint8Array;
  /** By the end of a path. */
  readonly spoilt: Map<string, Spoil>;
  /** Paths asked for, with the offset if one was asked for. */
  readonly asked: string[];
  close(): Promise<void>;
}

interface FakePackage {
  readonly name: string;
  readonly version?: string;
  readonly depends?: string;
  readonly provides?: string;
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

/** A module as far as a build looks at it: an ELF file with nothing but a .modinfo. */
function fakeModule(info: string): Uint8Array {
  const strings = '\0.shstrtab\0.modinfo\0';
  const body = `${info}\0`;
  const at = 64;
  const bytes = new Uint8Array(at + 256 + 3 * 64);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x464c457f, true);
  bytes[4] = 2;
  view.setBigUint64(40, BigInt(at + 256), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, 3, true);
  view.setUint16(62, 1, true);
  bytes.set(Buffer.from(strings), at);
  bytes.set(Buffer.from(body), at + 64);
  const section = (index: number, name: number, offset: number, size: number): void => {
    const header = at + 256 + index * 64;
    view.setUint32(header, name, true);
    view.setUint32(header + 4, 1, true);
    view.setBigUint64(header + 24, BigInt(offset), true);
    view.setBigUint64(header + 32, BigInt(size), true);
  };
  section(1, 1, at, strings.length);
  section(2, 11, at + 64, body.length);
  return bytes;
}

const packages: readonly FakePackage[] = [
  { name: 'linux-image-riscv64', depends: 'linux-image-9.9-riscv64 (= 1)' },
  {
    name: 'linux-image-9.9-riscv64',
    depends: 'kmod',
    files: {
      'boot/vmlinux-9.9': new Uint8Array(100_000).fill(7),
      'lib/modules/9.9/kernel/first.ko': fakeModule('depends='),
      'lib/modules/9.9/kernel/second.ko': fakeModule('depends=first'),
    },
  },
  {
    name: 'program',
    version: '2:1.0~rc1-1',
    depends: 'library (>= 1.0) | nothing, mail-agent',
    files: { 'usr/bin/program': '#!/bin/sh\n', 'usr/share/doc/program/copyright': 'mine' },
  },
  { name: 'library', version: '1.10', files: { 'lib/library.so': 'library' } },
  { name: 'postman', provides: 'mail-agent', files: { 'usr/bin/postman': 'letters' } },
  { name: 'broken', depends: 'library (>= 9)' },
];

export async function startMirror(): Promise<FakeMirror> {
  const { privateKey, publicKey } = await generateKey({
    userIDs: [{ name: 'Nobody', email: 'nobody@example.org' }],
    format: 'armored',
    // A clock that a virtual machine has set a little back must not make the key come from the future.
    date: new Date(Date.now() - 86_400_000),
  });
  const files = await archive(privateKey);
  const spoilt = new Map<string, Spoil>();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!);
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    asked.push(from > 0 ? `${path} from ${from}` : path);
    const spoil = [...spoilt].find(([end]) => path.endsWith(end))?.[1];
    const whole = files.get(path);
    const answer = whole === undefined ? undefined : (spoil?.(whole, response) ?? whole);
    if (response.headersSent) return;
    if (answer === undefined) {
      response.writeHead(404).end();
      return;
    }
    const part = answer.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': part.length }).end(part);
  });
  await listen(server);
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}/debian`,
    keyring: Buffer.from(publicKey),
    spoilt,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Sends half of a file and cuts the connection. */
export const cutShort: Spoil = (bytes, response) => {
  response.writeHead(200, { 'content-length': bytes.length });
  response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
  return undefined;
};

/** The right length, and one byte that is not the right one. */
export const flipped: Spoil = (bytes) => {
  const copy = Uint8Array.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
};

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}

async function archive(armoredKey: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const stanzas: string[] = [];
  for (const each of packages) {
    const deb = await buildDeb(each);
    const path = `pool/${each.name}.deb`;
    files.set(`/debian/${path}`, deb);
    stanzas.push(
      [
        `Package: ${each.name}`,
        `Version: ${each.version ?? '1'}`,
        ...(each.depends === undefined ? [] : [`Depends: ${each.depends}`]),
        ...(each.provides === undefined ? [] : [`Provides: ${each.provides}`]),
        `Filename: ${path}`,
        `Size: ${deb.length}`,
        `SHA256: ${hash(deb)}`,
      ].join('\n'),
    );
  }
  const index = gzipSync(`${stanzas.join('\n\n')}\n`);
  const release = [
    'Origin: Nobody',
    'Suite: stable',
    'Codename: trixie',
    'Version: 13.0',
    'Date: Sat, 01 Jan 2022 00:00:00 UTC',
    'SHA256:',
    ` ${hash(index)} ${index.length} main/binary-riscv64/Packages.gz`,
  ].join('\n');
  const signed = await sign({
    message: await createCleartextMessage({ text: release }),
    signingKeys: await readPrivateKey({ armoredKey }),
  });
  for (const name of ['trixie', 'stable']) {
    files.set(`/debian/dists/${name}/InRelease`, Buffer.from(signed as string));
    files.set(`/debian/dists/${name}/main/binary-riscv64/Packages.gz`, index);
  }
  return files;
}

async function buildDeb({ files = {} }: FakePackage): Promise<Uint8Array> {
  const tar = pack();
  for (const [path, contents] of Object.entries(files)) {
    const bytes = Buffer.from(contents);
    tar.entry({ name: `./${path}`, size: bytes.length, mode: 0o755, mtime: new Date(0) }, bytes);
  }
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk);
  return writeAr([
    { name: 'debian-binary', bytes: Buffer.from('2.0\n') },
    { name: 'data.tar.gz', bytes: gzipSync(Buffer.concat(chunks)) },
  ]);
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
