/** What soak.ts does not let pass; the script itself runs for as long as somebody likes. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { problemsOf, type Soaked, type VmSoaked } from './soak.ts';

test('whatever nobody has caused is named, and the loss of a shadow is not a failover', () => {
  const vm: VmSoaked = {
    ...{ vm: 'one', cpus: 1, requests: 9, lost: 0, repeated: 0, connectionsReset: 0 },
    ...{ longestGapMs: 40, gapsOver1s: 0, lagMsMax: 9, protectedShare: 0.9, generations: 2 },
  };
  const soaked = (change: Partial<VmSoaked>, events: Soaked['events'] = {}): Soaked => ({
    ...{ minutes: 1, spinners: 2, cpuBusyShare: 1, load: 4, events },
    vms: [vm, { ...vm, vm: 'two', ...change }],
  });
  assert.deepEqual(problemsOf(soaked({}, { 'ft-shadow-lost': 1, 'ft-shadow-started': 1 })), []);
  const bad: readonly [Soaked, RegExp][] = [
    [soaked({}, { 'ft-primary-failover': 1 }), /^1 of ft-primary-failover$/],
    [soaked({}, { 'ft-went-live': 2 }), /^2 of ft-went-live$/],
    [soaked({}, { 'arbiter-new-epoch': 1 }), /epoch/],
    [soaked({}, { 'ft-divergence': 1 }), /divergence/],
    [soaked({ lost: 1 }), /^two: 1 acknowledged requests lost$/],
    [soaked({ repeated: 1 }), /carried out twice/],
    [soaked({ connectionsReset: 1 }), /reset/],
    [soaked({ requests: 0 }), /no request was answered/],
  ];
  for (const [document, expected] of bad) {
    const [problem, ...more] = problemsOf(document);
    assert.match(problem!, expected);
    assert.deepEqual(more, []);
  }
});
