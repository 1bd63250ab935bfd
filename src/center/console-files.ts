/**
 * The web console's files: built by `scripts/build-console.ts` into `dist/console`, kept in memory,
 * compressed once.
 *
 * Every path that is none of the API's gives the one page, since its paths are the console's own.
 * The page may run scripts and styles of this center only, and style elements that carry the nonce
 * of this very reply; it asks nothing of any other address and no other page may frame it.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Of sources and of the built package alike. */
export const consoleFolder = join(import.meta.dirname, '../../dist/console');

/** Stands in the built page wherever the nonce belongs (scripts/console.ts). */
const noncePlace = 'UMBRA-CSP-NONCE';

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
/** Compressed already. */
const dense = new Set(['.woff2']);

interface File {
  readonly type: string;
  readonly bytes: Buffer;
  /** undefined: would be no smaller. */
  readonly gzip: Buffer | undefined;
}

interface Built {
  readonly page: string;
  readonly files: ReadonlyMap<string, File>;
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

/**
 * Routes for what is built, and the page for whatever no route takes: not a route for every path,
 * which would take what the router refuses in its own words.
 * @param notFound for programs
 */
export function addConsole(
  server: FastifyInstance,
  notFound: Handler,
  folder = consoleFolder,
): void {
  const built = reader(folder);
  const sendPage = (request: FastifyRequest, reply: FastifyReply) => {
    // Programs that have the path wrong are told so in their own way.
    const isForPeople =
      request.method === 'GET' && request.headers.accept?.includes('text/html') === true;
    if (!isForPeople || /^\/(api|metrics|assets)(\/|$)/.test(request.url)) {
      return notFound(request, reply);
    }
    const nonce = randomBytes(16).toString('base64');
    const page = built()?.page;
    return reply
      .status(page === undefined ? 503 : 200)
      .header('content-security-policy', policy(nonce))
      .header('referrer-policy', 'no-referrer')
      .header('cross-origin-opener-policy', 'same-origin')
      .type(types['.html']!)
      .send((page ?? absentPage).replaceAll(noncePlace, nonce));
  };
  server.get('/assets/:name', { exposeHeadRoute: false }, (request, reply) => {
    const { name } = request.params as { name: string };
    const file = built()?.files.get(name);
    if (file === undefined) return reply.callNotFound();
    const { type, bytes, gzip } = file;
    const takesGzip = request.headers['accept-encoding']?.includes('gzip') === true;
    // Their names change with their contents.
    reply.type(type).header('cache-control', 'public, max-age=31536000, immutable');
    reply.header('vary', 'accept-encoding');
    if (gzip === undefined || !takesGzip) return reply.send(bytes);
    return reply.header('content-encoding', 'gzip').send(gzip);
  });
  server.setNotFoundHandler(sendPage);
}

function policy(nonce: string): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

/** Reads what is built, again when it has been built anew. */
function reader(folder: string): () => Built | undefined {
  let seen = 0;
  let built: Built | undefined;
  return () => {
    const page = join(folder, 'index.html');
    const time = existsSync(page) ? statSync(page).mtimeMs : 0;
    if (time !== seen) {
      seen = time;
      built = time === 0 ? undefined : read(folder);
    }
    return built;
  };
}

function read(folder: string): Built {
  const assets = join(folder, 'assets');
  const files = readdirSync(assets).map((name): [string, File] => {
    const bytes = readFileSync(join(assets, name));
    const gzip = dense.has(extname(name)) ? undefined : gzipSync(bytes, { level: 9 });
    return [name, { type: types[extname(name)] ?? 'application/octet-stream', bytes, gzip }];
  });
  return { page: readFileSync(join(folder, 'index.html'), 'utf8'), files: new Map(files) };
}

const absentPage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Umbra</title>
<style nonce="${noncePlace}">body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}</style>
<h1>The web console is not built</h1>
<p>This center runs from sources, and its console has not been built yet. Run
<code>npm run build:console</code> in the folder of the sources, then load this page again; the
center need not be restarted.</p>
<p>The API is there in any case: <a href="/api/reference">for reading</a>.</p></html>
`;
