/** Who is served: the same VM, the same machine, and a neighbour's version of the protocol. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from './greeting.ts';
import { decodeMessage, encodeMessage, type Hello, protocolVersions } from './messages.ts';

const configuration = Uint8Array.of(1, 2, 3);
const body = { vm: 'v', configuration, host: 'h', process: 'p', received: undefined };

function answer(versionMin: number, versionMax: number, changes: Partial<typeof body> = {}) {
  const hello: Hello = { kind: 'hello', versionMin, versionMax, body: { ...body, ...changes } };
  const heard = decodeMessage(encodeMessage(hello)) as Hello;
  return judge(heard, 'v', configuration);
}

test('a shadow one version ahead or behind is served in a version that both speak', () => {
  const { min, max } = protocolVersions;
  for (const [theirMin, theirMax, spoken] of [
    [min, max, max],
    [min, max + 1, max],
    [max, max + 1, max],
    [Math.max(0, min - 1), min, min],
  ] as const) {
    const greeting = answer(theirMin, theirMax);
    assert.ok('version' in greeting, JSON.stringify(greeting));
    assert.equal(greeting.version, spoken);
  }
});

test('whoever is two versions away is told which versions there are', () => {
  const { max } = protocolVersions;
  const refusal = answer(max + 1, max + 2);
  assert.ok('code' in refusal);
  assert.equal(refusal.code, 'version');
  assert.match(refusal.text, new RegExp(`protocol ${max + 1} to ${max + 2}, this is`));
});

test('another VM, another configuration', () => {
  const { min, max } = protocolVersions;
  const other = answer(min, max, { vm: 'w' });
  assert.equal('code' in other && other.code, 'vm');
  const different = answer(min, max, { configuration: Uint8Array.of(1, 2, 4) });
  assert.equal('code' in different && different.code, 'configuration');
});
