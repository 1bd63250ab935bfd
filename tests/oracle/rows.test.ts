/**
 * The instruction rows against QEMU: every row with random and special operands, every rounding
 * mode and flag, and the border between legal and illegal words.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { SeededRandom } from '../../src/base/random.ts';
import { hostEngine } from '../../src/host/engine.ts';
import { decode, newDecoded } from '../../src/isa/decode.ts';
import { rows } from '../../src/isa/rows.ts';
import { engineExecute } from './bare-engine.ts';
import { breakpoint, type Case, qemuExecute, type Result, scratchAddress } from './execute.ts';
import { qemuMissing } from './qemu.ts';
import {
  borderWords,
  opcodeOf,
  programTrials,
  rowTrials,
  shortWords,
  type Trial,
} from './trials.ts';

const illegal = 2;
const atomic = 0x2f;

const hex = (value: number | bigint): string => value.toString(16);
const words = (one: Case): string => one.words.map(hex).join(' ');

/** Registers in the middle of RAM, so that any load or store of a random word is harmless. */
const harmless = Object.fromEntries(
  Array.from({ length: 31 }, (_, n) => [n + 1, scratchAddress + 1024n]),
);

/** Rounding modes 5 and 6 are reserved; rows see to that themselves, after the decoder. */
function isInstruction(word: number): boolean {
  const { row: index, rm } = decode(word, newDecoded());
  if (index < 0) return false;
  const rounds = rows[index]!.pattern.replaceAll(' ', '').slice(17, 20) === '...';
  const isFloat = (rows[index]!.match & 0x60) === 0x40;
  return !(isFloat && rounds && (rm === 5 || rm === 6));
}

test('QEMU and the decoder agree which words are instructions', { skip: qemuMissing }, async () => {
  const random = new SeededRandom(1981);
  const tested = [...shortWords(), ...borderWords(random, 20_000)];
  const results = await qemuExecute(tested.map((word) => ({ words: [word], x: harmless })));
  const wrong = tested.filter((word, index) => {
    const { cause, epc, pc } = results[index]!;
    return isInstruction(word) === (cause === illegal && epc === pc);
  });
  const named = wrong.map((word) => {
    const { row } = decode(word, newDecoded());
    return `${hex(word)}: ${rows[row]?.name ?? 'illegal'} to the decoder`;
  });
  assert.deepEqual(named, []);
});

/**
 * QEMU before 8.0 counts the trailing zeros of all 64 bits where `ctzw` has a zero word; there the
 * manual is the oracle.
 */
function isMistakenByQemu(one: Trial, umbra: Result): boolean {
  const { rd, rs1 } = decode(one.words[0]!, newDecoded());
  const wrong = one.name === 'ctzw' && BigInt.asUintN(32, one.x?.[rs1] ?? 0n) === 0n;
  return wrong && umbra.x[rd] === (rd === 0 ? 0n : 32n);
}

/** Everything that differs, in words. The manual leaves a breakpoint's tval open. */
function difference(one: Trial, qemu: Result, umbra: Result): string | undefined {
  const { row } = decode(one.words.at(-1)!, newDecoded());
  // QEMU 7.2 has the causes of a load for what an AMO does.
  const cause = (result: Result): number =>
    opcodeOf(rows[row]!) === atomic && result.cause !== breakpoint
      ? result.cause | 2
      : result.cause;
  const pairs: [string, number | bigint, number | bigint][] = [
    ['cause', cause(qemu), cause(umbra)],
    ['epc', qemu.epc, umbra.epc],
    ['fcsr', qemu.fcsr, umbra.fcsr],
    ...Array.from(qemu.x, (value, n): [string, bigint, bigint] => [`x${n}`, value, umbra.x[n]!]),
    ...Array.from(qemu.f, (value, n): [string, bigint, bigint] => [`f${n}`, value, umbra.f[n]!]),
    ...Array.from(qemu.memory, (value, n): [string, bigint, bigint] => [
      `memory[${n}]`,
      value,
      umbra.memory[n]!,
    ]),
  ];
  if (qemu.cause !== breakpoint) pairs.push(['tval', qemu.tval, umbra.tval]);
  const found = pairs.filter(([, theirs, ours]) => theirs !== ours);
  if (found.length === 0) return undefined;
  const told = found.map(([what, theirs, ours]) => `${what}: QEMU ${hex(theirs)}, ${hex(ours)}`);
  const given = JSON.stringify({ x: one.x, f: one.f, fcsr: one.fcsr }, (_, value: unknown) =>
    typeof value === 'bigint' ? hex(value) : value,
  );
  return `${one.name} (${words(one)}) ${told.join('; ')} given ${given}`;
}

test('every row does something on QEMU', { skip: qemuMissing }, async () => {
  const trials = rowTrials(new SeededRandom(7), 4, 2);
  const results = await qemuExecute(trials);
  const named = new Set(trials.map(({ name }) => name));
  const ran = new Set(
    trials.filter((_, index) => results[index]!.cause !== illegal).map(({ name }) => name),
  );
  assert.deepEqual(
    [...named].filter((name) => !ran.has(name)),
    [],
  );
});

/** Equal words lie in one place, so all cases of it but the first are translated. */
const engines = {
  interpreter: hostEngine('interpreter'),
  translator: hostEngine('translator', { codeBytesPerModule: 0 }),
};

async function compare(trials: readonly Trial[]): Promise<void> {
  const qemu = await qemuExecute(trials);
  for (const [tier, engine] of Object.entries(engines)) {
    compareWith(tier, trials, qemu, engineExecute(trials, engine));
  }
}

function compareWith(
  tier: string,
  trials: readonly Trial[],
  qemu: readonly Result[],
  umbra: readonly Result[],
): void {
  const wrong = trials
    .map((one, index) =>
      isMistakenByQemu(one, umbra[index]!)
        ? undefined
        : difference(one, qemu[index]!, umbra[index]!),
    )
    .filter((text) => text !== undefined);
  assert.deepEqual(wrong.slice(0, 20), [], `${tier}: ${wrong.length} of ${trials.length} differ`);
}

test('every row does in the engine what it does on QEMU', { skip: qemuMissing }, () =>
  compare(rowTrials(new SeededRandom(2026), 10, 50)),
);

test('so do short programs', { skip: qemuMissing }, () =>
  compare(programTrials(new SeededRandom(1977), 5000)),
);
