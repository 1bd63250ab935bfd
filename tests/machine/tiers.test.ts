/** The tiers that a host may choose: unlike in what they translate, alike in what they compute. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TranslatorStatistics } from '../../src/engine/regions/translator.ts';
import type { WasmEngine } from '../../src/engine/wasm-engine.ts';
import { hostEngine } from '../../src/host/engine.ts';
import { type Tier, tiers, translations } from '../../src/host/tiers.ts';
import { Assembler, x } from './assembler.ts';
import { guestMaker } from './machines.ts';

const hotLoops = 40;
const coldLoops = 20;

/** Loops that are run a few times once, then loops that are run a lot, again and again. */
function loops(): Uint8Array {
  const code = new Assembler(0x8000_0000);
  const loop = (name: string, times: number): void => {
    code.li(x.t0, times).label(name);
    for (let step = 1; step <= 30; step++) {
      code.op('addi', { rd: x.t1, rs1: x.t1, imm: step }).op('xor', { rd: x.s0, rs1: 8, rs2: 6 });
    }
    code.op('addi', { rd: x.t0, rs1: x.t0, imm: -1 }).to('bne', name, { rs1: x.t0, rs2: 0 });
  };
  for (let index = 0; index < coldLoops; index++) loop(`cold ${index}`, 5);
  code.label('again');
  for (let index = 0; index < hotLoops; index++) loop(`hot ${index}`, 4000);
  code.to('jal', 'again', { rd: 0 });
  return code.finish();
}

interface Outcome {
  readonly fingerprint: bigint;
  readonly statistics: TranslatorStatistics;
}

function run(tier: Tier): Outcome {
  const engines: WasmEngine[] = [];
  const make = hostEngine(tier);
  const maker = guestMaker({ image: loops() }, (layout, host) => {
    engines.push(make(layout, host));
    return engines[0]!;
  });
  const machine = maker.powerOn();
  for (let slice = 0; slice < 500; slice++) machine.run(machine.count + 100_000n);
  return { fingerprint: machine.fingerprint(), statistics: engines[0]!.statistics };
}

test('each tier translates as its name says, and computes the same', (t) => {
  const outcomes = Object.fromEntries(tiers.map((tier) => [tier, run(tier)])) as Record<
    Tier,
    Outcome
  >;
  for (const tier of tiers) {
    t.diagnostic(`${tier}: ${JSON.stringify(outcomes[tier].statistics)}`);
    assert.equal(outcomes[tier].fingerprint, outcomes.auto.fingerprint, tier);
  }
  const { auto, interpreter, translator, reluctant } = outcomes;
  assert.equal(interpreter.statistics.made, 0);
  assert.ok(auto.statistics.made > 0);
  assert.equal(auto.statistics.regions, auto.statistics.made, 'there is room for what is hot');
  assert.ok(translator.statistics.made >= auto.statistics.made + coldLoops);
  assert.ok(reluctant.statistics.bytes <= translations.reluctant.codeBytesMax);
  const evicted = reluctant.statistics.made - reluctant.statistics.regions;
  assert.ok(evicted > auto.statistics.made, `only ${evicted} regions were evicted`);
});
