import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { UmbraError } from '../base/errors.ts';
import { Downloader } from './download.ts';

async function serving(
  answer: RequestListener,
  proxied: boolean,
  work: (base: string, from: Downloader) => Promise<void>,
): Promise<void> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const from = new Downloader(proxied ? { http: base } : {});
  try {
    await work(base, from);
  } finally {
    from.close();
    server.closeAllConnections();
    server.close();
  }
}

async function text(from: Downloader, address: string, offset = 0): Promise<string | undefined> {
  const download = await from.open(address, offset);
  if (download === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of download.body) chunks.push(chunk);
  return `${download.from}:${Buffer.concat(chunks)}`;
}

const code = (wanted: string) => (error: unknown) =>
  error instanceof UmbraError && error.code === wanted;

test('redirections, absence, ranges and servers that know none', async () => {
  const answer: RequestListener = (request, response) => {
    const { url, headers } = request;
    if (url === '/moved') response.writeHead(302, { location: '/here' }).end();
    else if (url === '/loop') response.writeHead(302, { location: '/loop' }).end();
    else if (url === '/here') response.end('hello');
    else if (url === '/part' && headers.range === 'bytes=2-') response.writeHead(206).end('llo');
    else if (url === '/over' && headers.range !== undefined) response.writeHead(416).end();
    else if (url === '/over') response.end('whole');
    else if (url === '/bad') response.writeHead(503).end();
    else response.writeHead(404).end();
  };
  await serving(answer, false, async (base, from) => {
    assert.equal(await text(from, `${base}/moved`), '0:hello');
    assert.equal(await text(from, `${base}/here`, 2), '0:hello');
    assert.equal(await text(from, `${base}/part`, 2), '2:llo');
    assert.equal(await text(from, `${base}/over`, 9), '0:whole');
    assert.equal(await text(from, `${base}/none`), undefined);
    for (const path of ['/loop', '/bad']) {
      await assert.rejects(text(from, base + path), code('image-mirror-unreachable'));
    }
  });
});

test('six connections at most', async () => {
  let open = 0;
  let openMax = 0;
  const answer: RequestListener = (_, response) => {
    openMax = Math.max(openMax, ++open);
    setTimeout(() => {
      open--;
      response.end('x');
    }, 20);
  };
  await serving(answer, false, async (base, from) => {
    await Promise.all(Array.from({ length: 20 }, (_, at) => text(from, `${base}/${at}`)));
  });
  assert.equal(openMax, 6);
});

test('through a proxy the whole address is asked for', async () => {
  await serving(
    (request, response) => response.end(request.url),
    true,
    async (_, from) => {
      assert.equal(
        await text(from, 'http://mirror.invalid/debian/x'),
        '0:http://mirror.invalid/debian/x',
      );
    },
  );
});
