/** Kernel files: what is loaded lies where it should; what cannot be loaded says why, always. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { UmbraError } from '../base/errors.ts';
import { loadKernel } from './kernel.ts';
import { type VirtConfiguration, virtMachineMaker } from './virt.ts';

const ramBase = 0x8000_0000;

function elf(options: {
  readonly bits?: number;
  readonly machine?: number;
  readonly entry?: bigint;
  readonly segments?: readonly (readonly [
    physical: bigint,
    file: bigint,
    fileBytes: bigint,
    memory: bigint,
  ])[];
}): Uint8Array {
  const segments = options.segments ?? [[BigInt(ramBase), 0x1000n, 16n, 32n]];
  const file = new Uint8Array(0x1010);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x464c457f, true);
  view.setUint8(4, options.bits ?? 2);
  view.setUint8(5, 1);
  view.setUint16(18, options.machine ?? 243, true);
  view.setBigUint64(24, options.entry ?? BigInt(ramBase), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, segments.length, true);
  for (const [index, [physical, at, fileBytes, memory]] of segments.entries()) {
    const header = 64 + 56 * index;
    view.setUint32(header, 1, true);
    for (const [offset, value] of [
      [8, at],
      [24, physical],
      [32, fileBytes],
      [40, memory],
    ] as const) {
      view.setBigUint64(header + offset, value, true);
    }
  }
  return file.fill(0xaa, 0x1000);
}

function image(options: {
  readonly flags?: bigint;
  readonly size?: bigint;
  readonly text?: bigint;
}): Uint8Array {
  const file = new Uint8Array(4096);
  const view = new DataView(file.buffer);
  view.setBigUint64(8, options.text ?? 0x20_0000n, true);
  view.setBigUint64(16, options.size ?? 8192n, true);
  view.setBigUint64(24, options.flags ?? 0n, true);
  view.setUint32(56, 0x05435352, true);
  return file;
}

const configuration = (kernel: Uint8Array, own: Partial<VirtConfiguration> = {}) => ({
  hartCount: 1,
  ramBytes: 16 << 20,
  kernel,
  bootArguments: '',
  disks: [],
  macs: [],
  epochOffset: 0n,
  randomSeed: new Uint8Array(32),
  ...own,
});

const refused =
  (code: string, why: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof UmbraError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, why);
    assert.ok(error.remedy.length > 10);
    return true;
  };

test('an Image, an ELF file and a flat binary', () => {
  const fromImage = loadKernel(image({}), ramBase);
  assert.equal(fromImage.entryOffset, 0x20_0000);
  assert.equal(fromImage.endOffset, 0x20_0000 + 8192);
  const fromElf = loadKernel(elf({ entry: BigInt(ramBase + 4) }), ramBase);
  assert.equal(fromElf.entryOffset, 4);
  assert.equal(fromElf.endOffset, 32);
  assert.deepEqual(fromElf.segments, [{ offset: 0, bytes: new Uint8Array(16).fill(0xaa) }]);
  const flat = loadKernel(new Uint8Array(100), ramBase);
  assert.deepEqual([flat.entryOffset, flat.endOffset], [0, 100]);
});

test('files that are no kernel for this machine', () => {
  const bytes = (...head: number[]): Uint8Array => {
    const file = new Uint8Array(4096);
    file.set(head);
    return file;
  };
  const top = 2n ** 64n - 1n;
  const base = BigInt(ramBase);
  const cases: readonly [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /only 0 bytes/],
    [new Uint8Array(63), /only 63 bytes/],
    [bytes(0x1f, 0x8b), /compressed/],
    [bytes(0x4d, 0x5a), /another architecture/],
    [elf({ bits: 1 }), /32-bit/],
    [elf({ machine: 62 }), /machine 62/],
    [elf({ segments: [] }), /nothing to load/],
    [elf({}).subarray(0, 0x1008), /truncated/],
    [elf({}).subarray(0, 100), /truncated/],
    [elf({ segments: [[0x1000n, 0x1000n, 16n, 16n]] }), /wants to lie at 0x1000/],
    [elf({ segments: [[base, top, 16n, 16n]] }), /truncated/],
    [elf({ segments: [[base, 0x1000n, 16n, 15n]] }), /header is damaged/],
    [
      elf({
        segments: [
          [base, 0x1000n, 16n, 16n],
          [base + 8n, 0x1000n, 16n, 16n],
        ],
      }),
      /overlap/,
    ],
    [elf({ entry: 0n }), /entered at 0x0/],
    [elf({ entry: base + 33n }), /entered at/],
    [elf({ entry: top }), /entered at/],
    [image({ flags: 1n }), /big-endian/],
    [image({ text: 0x20_0001n }), /damaged/],
    [image({ text: top }), /damaged/],
    [image({ size: 1n }), /promises 1 bytes/],
    [image({ size: top }), /promises/],
  ];
  for (const [file, why] of cases) {
    assert.throws(() => loadKernel(file, ramBase), refused('kernel-unusable', why));
  }
});

test('configurations that no machine can have', () => {
  const kernel = elf({});
  const bad: readonly [string, RegExp, Partial<VirtConfiguration>][] = [
    ...[0, 9, -1, 1.5, Number.NaN].map(
      (hartCount): [string, RegExp, Partial<VirtConfiguration>] => [
        'cpus-out-of-range',
        /1 to 8 CPUs/,
        { hartCount },
      ],
    ),
    ...[0, 4096, (16 << 20) + 1, 2 ** 32, Number.NaN].map(
      (ramBytes): [string, RegExp, Partial<VirtConfiguration>] => [
        'memory-out-of-range',
        /16 MiB to 3 GiB/,
        { ramBytes },
      ],
    ),
    ['memory-too-small', /need \d+ MiB/, { initrd: new Uint8Array(14 << 20) }],
    ['memory-too-small', /need \d+ MiB/, { kernel: image({ size: 2n ** 31n }).fill(1, 64) }],
    ['firmware-unusable', /empty/, { bios: new Uint8Array(0) }],
    ['firmware-unusable', /2 MiB/, { bios: new Uint8Array((2 << 20) + 1) }],
    ['boot-arguments-too-long', /2047/, { bootArguments: 'x'.repeat(2048) }],
    [
      'too-many-devices',
      /room for 7 .* not 8/,
      { disks: [512, 512, 512, 512], macs: Array(4).fill(new Uint8Array(6)) },
    ],
  ];
  for (const [code, why, own] of bad) {
    assert.throws(() => virtMachineMaker(configuration(kernel, own)), refused(code, why));
  }
});

test('boot files that are read again at a reset give the same machine, changed ones are refused', () => {
  let bytes = elf({});
  let reads = 0;
  const readAgain = () => {
    reads++;
    return { kernel: bytes };
  };
  const kept = virtMachineMaker(configuration(bytes));
  const maker = virtMachineMaker(configuration(bytes), undefined, readAgain);
  assert.deepEqual(maker.configuration, kept.configuration);
  const machine = maker.powerOn();
  const twin = kept.powerOn();
  const reset = (): void => {
    for (const each of [machine, twin]) {
      each.run(each.count + 100n);
      each.apply({ kind: 'control', action: 'reset' });
    }
  };
  assert.equal(reads, 1);
  reset();
  assert.equal(reads, 2);
  assert.equal(machine.fingerprint(), twin.fingerprint());
  bytes = bytes.slice();
  bytes[0x1008] = 1;
  assert.throws(reset, refused('boot-files-changed', /have changed/));
});

test('the largest machine runs', () => {
  const machine = virtMachineMaker(
    configuration(elf({}), {
      hartCount: 8,
      ramBytes: 3 * 2 ** 30,
      bootArguments: 'x'.repeat(2047),
    }),
  ).powerOn();
  assert.equal(machine.run(1000n), 'budget');
});

test('whatever the headers say, a machine starts or an UmbraError tells why', () => {
  const word = fc.oneof(
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.bigInt(-70n, 70n).map((near) => BigInt.asUintN(64, BigInt(ramBase) + near * 4096n)),
    fc.bigInt(0n, 0x1100n),
    fc.constantFrom(2n ** 63n, 2n ** 53n, 2n ** 32n - 1n, 2n ** 31n),
  );
  const segment = fc.tuple(word, word, word, word);
  const start = (kernel: Uint8Array): void => {
    try {
      virtMachineMaker(configuration(kernel)).powerOn().run(10n);
    } catch (error) {
      assert.ok(error instanceof UmbraError, String(error));
    }
  };
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 4 }), word, (segments, entry) =>
      start(elf({ segments, entry })),
    ),
    { seed: 4, numRuns: 300 },
  );
  const spoiled = fc.array(fc.tuple(fc.nat(130), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.constantFrom(elf({}), image({})), spoiled, (file, changes) => {
      const copy = file.slice();
      for (const [at, byte] of changes) copy[at] = byte;
      start(copy);
    }),
    { seed: 5, numRuns: 200 },
  );
});
