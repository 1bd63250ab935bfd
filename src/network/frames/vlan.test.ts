import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { addTag, isTagged, removeTag, VLAN_MAX, vlanOf } from './vlan.ts';

const plainFrame = fc.uint8Array({ minLength: 14, maxLength: 100 }).filter((f) => !isTagged(f));

test('a tag goes on and comes off again', () => {
  fc.assert(
    fc.property(plainFrame, fc.integer({ min: 1, max: VLAN_MAX }), (plain, vlan) => {
      const tagged = addTag(plain, vlan);
      assert.equal(vlanOf(plain), 0);
      assert.equal(vlanOf(tagged), vlan);
      assert.deepEqual([...tagged.subarray(0, 12)], [...plain.subarray(0, 12)]);
      assert.deepEqual([...removeTag(tagged)], [...plain]);
    }),
  );
});

test('the bytes are those of 802.1Q; priority is not part of the id', () => {
  const tagged = addTag(new Uint8Array(60), 0x123);
  assert.deepEqual([...tagged.subarray(12, 16)], [0x81, 0x00, 0x01, 0x23]);
  tagged[14] = 0xe1;
  assert.equal(vlanOf(tagged), 0x123);
});

test('what is no VLAN of ours has none', () => {
  assert.equal(vlanOf(addTag(new Uint8Array(60), 4095)), undefined, 'reserved');
  assert.equal(vlanOf(addTag(new Uint8Array(60), 4095).subarray(0, 16)), undefined, 'cut');
  const provider = new Uint8Array(60);
  provider.set([0x88, 0xa8, 0, 5], 12);
  assert.equal(vlanOf(provider), undefined);
  assert.ok(isTagged(provider));
});
