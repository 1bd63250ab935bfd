/**
 * `GET /api/reference`: the API for reading, one page made from the OpenAPI document. It has no
 * script and asks nothing of any other address.
 */
import type { FastifyInstance } from 'fastify';
import { openApiDocument } from '../api/openapi.ts';

type Json = Record<string, unknown>;

export function addReference(server: FastifyInstance, version: string): void {
  const page = referencePage(openApiDocument(version));
  server.get('/api/reference', { exposeHeadRoute: false }, (_request, reply) => {
    reply
      .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      .type('text/html; charset=utf-8')
      .send(page);
  });
}

export function referencePage(document: Json): string {
  const info = document['info'] as { title: string; description: string };
  const groups = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(document['paths'] as Record<string, Json>)) {
    for (const [method, operation] of Object.entries(methods)) {
      const { tags } = operation as { tags: string[] };
      const group = groups.get(tags[0]!) ?? [];
      groups.set(tags[0]!, group);
      group.push(operationText(method, path, operation as Operation));
    }
  }
  const { schemas } = document['components'] as { schemas: Record<string, unknown> };
  const codes = document['x-problem-codes'] as Record<string, { status: number; means: string }>;
  return [
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${info.title} API</title>`,
    `<style>${style}</style><main><h1>${info.title} API</h1><p>${escaped(info.description)}</p>`,
    '<p>As a document for tools: <a href="/api/v1/openapi.json">openapi.json</a>.</p><nav>',
    ...[...groups.keys()].map((tag) => `<a href="#${tag}">${tag}</a> `),
    '<a href="#schemas">schemas</a> <a href="#codes">problem codes</a></nav>',
    ...[...groups].map(([tag, texts]) => `<h2 id="${tag}">${tag}</h2>${texts.join('')}`),
    '<h2 id="schemas">schemas</h2>',
    ...Object.entries(schemas).map(
      ([name, schema]) => `<h3 id="schema-${name}">${name}</h3>${schemaText(schema)}`,
    ),
    '<h2 id="codes">problem codes</h2><table>',
    ...Object.entries(codes).map(
      ([code, { status, means }]) =>
        `<tr><td><code>${code}</code><td>${status}<td>${escaped(means)}`,
    ),
    '</table></main></html>',
  ].join('\n');
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly 'x-least-role': string;
  readonly parameters?: readonly Json[];
  readonly requestBody?: { content: Record<string, { schema: unknown }> };
  readonly responses: Record<string, { content?: Record<string, { schema: unknown }> }>;
}

function operationText(method: string, path: string, operation: Operation): string {
  const { operationId, summary, parameters = [], requestBody, responses } = operation;
  const body = requestBody?.content['application/json']?.schema;
  const reply = responses['200']?.content?.['application/json']?.schema;
  return [
    `<section><h3 id="${operationId}"><b>${method.toUpperCase()}</b> ${escaped(path)}</h3>`,
    `<p>${escaped(summary)} <i>For: ${operation['x-least-role']}. Name: ${operationId}.</i></p>`,
    ...(parameters.length > 0 ? ['<h4>parameters</h4>', ...parameters.map(parameterText)] : []),
    ...(body === undefined ? [] : ['<h4>body</h4>', schemaText(body)]),
    '<h4>reply</h4>',
    schemaText(reply),
    '</section>',
  ].join('');
}

function parameterText(parameter: Json): string {
  const { name, $ref, in: where, required, schema, description } = parameter;
  if (typeof $ref === 'string') return `<p>${escaped($ref.split('/').at(-1)!)}</p>`;
  const words = [where, required ? 'required' : 'optional', description].filter(Boolean);
  return `<p><code>${escaped(String(name))}</code> ${escaped(words.join(', '))}</p>${schemaText(schema)}`;
}

function schemaText(schema: unknown): string {
  const text = escaped(JSON.stringify(schema, undefined, 2));
  const linked = text.replace(
    /#\/components\/schemas\/(\w+)/g,
    (_, name: string) => `<a href="#schema-${name}">${name}</a>`,
  );
  return `<pre>${linked}</pre>`;
}

const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');

const style = [
  'body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1b1b1b;background:#fff}',
  'main{max-width:56rem;margin:2rem auto;padding:0 1rem}section{border-top:1px solid #ccc}',
  'pre{background:#f3f3f3;padding:.5rem;overflow:auto;font-size:13px}nav a{margin-right:.5rem}',
  'h3{margin-bottom:.2rem}h4{margin:.5rem 0 .2rem}td{padding:.1rem .8rem .1rem 0}',
].join('');
