/** `umbra run --profile`: where the time of Debian's boot and of a program with symbols goes. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { elfFile } from '../../src/host/local/elf.fixture.ts';
import type { SpeedscopeDocument } from '../../src/host/local/profile-file.ts';
import { Assembler, x } from '../machine/assembler.ts';
import { imagesMissing, start, temporaryFolder, umbra } from '../system/umbra.fixture.ts';

/** Checks what the format's schema and its reader ask for. @returns microseconds by stack */
function stacksIn(path: string): Map<string, number> {
  const document = JSON.parse(readFileSync(path, 'utf8')) as SpeedscopeDocument;
  assert.equal(document.$schema, 'https://www.speedscope.app/file-format-schema.json');
  assert.equal(document.profiles.length, 1);
  const [profile] = document.profiles;
  const { type, unit, startValue, endValue, samples, weights } = profile!;
  assert.deepEqual([type, unit, startValue], ['sampled', 'microseconds', 0]);
  assert.equal(samples.length, weights.length);
  const { frames } = document.shared;
  assert.equal(new Set(frames.map(({ name }) => name)).size, frames.length);
  const stacks = new Map<string, number>();
  for (const [index, sample] of samples.entries()) {
    assert.ok(weights[index]! >= 0, 'no time is negative');
    const names = sample.map((frame) => frames[frame]!.name);
    assert.ok(names.length > 0 && names.every((name) => typeof name === 'string'));
    const stack = names.join(' > ');
    stacks.set(stack, (stacks.get(stack) ?? 0) + weights[index]!);
  }
  const whole = sum(stacks);
  // The same fractions, added in another order.
  assert.ok(whole < endValue + 0.001 && endValue - whole < 2, `${whole} of ${endValue}`);
  return stacks;
}

function sum(stacks: Map<string, number>, outermost = ''): number {
  const chosen = [...stacks].filter(([stack]) => stack.startsWith(outermost));
  return chosen.reduce((micros, [, weight]) => micros + weight, 0);
}

const missing = await imagesMissing('tiny');

test("the time of Debian's boot", missing ? { skip: missing } : {}, async (t) => {
  const folder = temporaryFolder();
  try {
    const file = join(folder.path, 'profile.json');
    const limited = ['run', '--image', 'tiny', '--max-instructions', '200000000', '--json'];
    const { code, stdout, stderr } = await umbra([...limited, '--profile', file]);
    assert.equal(code, 0, stderr);
    const run = JSON.parse(stdout) as { instructions: number; seconds: number; stop: string };
    assert.equal(run.instructions, 200_000_000);
    assert.equal(run.stop, 'limit');
    const stacks = stacksIn(file);
    const seconds = sum(stacks) / 1e6;
    assert.ok(Math.abs(seconds - run.seconds) < 0.2 * run.seconds, `${seconds} of ${run.seconds}`);
    assert.ok(sum(stacks, 'supervisor > ') > 0.5 * sum(stacks));
    assert.ok(sum(stacks, 'engine > translate') > 0);
    assert.ok(stacks.size > 50, 'a kernel is busy in many places');
    const summary = stderr.slice(stderr.indexOf('umbra: the profile is in'));
    assert.match(summary, /supervisor \d+\.\d %.* s idle/);
    assert.equal(summary.trim().split('\n').length, 12);
    t.diagnostic(summary);
  } finally {
    folder.remove();
  }
});

const kernelAt = 0x8020_0000;
const csr = { sstatus: 0x100, stvec: 0x105, sepc: 0x141 };
const { t0, t1, a0 } = x;

/** Says `!`; then works three rounds in supervisor mode for each in user mode, for ever. */
function program(): Uint8Array {
  const guest = new Assembler(kernelAt);
  const rounds = (name: string, register: number, count: number): void => {
    guest.li(register, count).label(name).op('addi', { rd: register, rs1: register, imm: -1 });
    guest.to('bne', name, { rs1: register });
  };
  const [a6, a7] = [16, 17];
  guest.li(a7, 0x4442434e).li(a6, 2).li(a0, 0x21).op('ecall');
  guest.la(t0, 'serve').csr('csrrw', csr.stvec, { rs1: t0 });
  guest.la(t0, 'ask').csr('csrrw', csr.sepc, { rs1: t0 });
  guest.li(t0, 0x100).csr('csrrc', csr.sstatus, { rs1: t0 }).op('sret');
  guest.label('ask');
  rounds('asking', t0, 10_000);
  guest.op('ecall').to('jal', 'ask').label('serve');
  rounds('serving', t1, 30_000);
  guest.csr('csrrs', csr.sepc, { rd: t1 }).op('addi', { rd: t1, rs1: t1, imm: 4 });
  guest.csr('csrrw', csr.sepc, { rs1: t1 }).op('sret').label('end');
  const code = guest.finish();
  const [ask, serve, end] = ['ask', 'serve', 'end'].map((label) => guest.address(label));
  return elfFile(kernelAt, code, [
    { name: '_start', address: kernelAt, kind: 'label' },
    { name: 'ask', address: ask!, size: serve! - ask! },
    { name: 'serve', address: serve!, size: end! - serve! },
  ]);
}

test('functions by name, in proportion; a signal ends it well', async () => {
  const folder = temporaryFolder();
  try {
    const [elf, file] = [join(folder.path, 'guest.elf'), join(folder.path, 'profile.json')];
    writeFileSync(elf, program());
    const named = ['run', '--kernel', elf, '--symbols', elf, '--profile', file];
    // Interpreted, so that both functions cost the same for an instruction from first to last, and
    // for seconds, so that a processor taken away for a moment does not decide.
    const interpreted = ['--tier', 'interpreter', '--max-instructions', '500000000'];
    const { code, stderr } = await umbra([...named, ...interpreted]);
    assert.equal(code, 0, stderr);
    const stacks = stacksIn(file);
    const [ask, serve] = [stacks.get('user > ask') ?? 0, stacks.get('supervisor > serve') ?? 0];
    assert.ok(serve > 2 * ask && serve < 4.5 * ask, `${serve} is not about three times ${ask}`);
    assert.match(stderr, / % {2}supervisor > serve\n/);

    const child = start(named);
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.stdout.once('data', () => setTimeout(() => child.kill('SIGTERM'), 200));
    assert.equal(await ended, 0);
    assert.ok(stacksIn(file).has('supervisor > serve'));
  } finally {
    folder.remove();
  }
});

test('what cannot be profiled is refused before the VM starts', async () => {
  const folder = temporaryFolder();
  try {
    const elf = join(folder.path, 'guest.elf');
    writeFileSync(elf, program());
    const text = join(folder.path, 'text');
    writeFileSync(text, 'no symbols');
    const file = join(folder.path, 'profile.json');
    const cases: [args: string[], code: number, expected: RegExp][] = [
      [['--profile', join(folder.path, 'none', 'file')], 1, /cannot be written \(ENOENT\)\. Name/],
      [['--profile', folder.path], 1, /cannot be written \(EISDIR\)/],
      [['--profile', file, '--symbols', join(folder.path, 'none')], 1, /none cannot be read/],
      [['--profile', file, '--symbols', text], 1, /"no symbols" is no line of address/],
      [['--symbols', elf], 2, /Add --profile FILE/],
    ];
    for (const [args, expectedCode, expected] of cases) {
      const { code, stdout, stderr } = await umbra(['run', '--kernel', elf, ...args], [], 30_000);
      assert.equal(code, expectedCode, stderr);
      assert.match(stderr, expected);
      assert.equal(stdout, '', 'the guest has said nothing');
    }
  } finally {
    folder.remove();
  }
});
