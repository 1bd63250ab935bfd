/**
 * GDB over a recording and over a live VM, on a guest with a race (race.c): to the fault, and back
 * from what is corrupt to the instruction that corrupted it.
 */
import assert from 'node:assert/strict';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { writeCpio } from '../../src/images/cpio.ts';
import { Tree } from '../../src/images/tree.ts';
import { builtImage } from '../images/built-image.ts';
import { imagesMissing, start, temporaryFolder, umbra } from '../system/umbra.fixture.ts';
import { compileRace, compileUser, debuggingMissing, debugWith } from './race.fixture.ts';

const missing = debuggingMissing();
const options = missing ? { skip: missing } : {};

/** An `umbra` with a debugger's port. @returns the port, once it is open */
function debuggerPort(child: ChildProcessWithoutNullStreams): Promise<number> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const port = /target remote 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
    child.once('close', () => reject(new Error(`it ended: ${text}`)));
  });
}

/** Runs `umbra` with these arguments, and ends it behind `use`, which is given the debugger's port. */
async function withDebugger(
  args: readonly string[],
  use: (port: number) => Promise<void>,
): Promise<void> {
  const child = start(args);
  try {
    await use(await debuggerPort(child));
  } finally {
    if (child.exitCode === null && child.signalCode === null) {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGTERM');
      await closed;
    }
  }
}

test(
  'a race on two harts, recorded, is followed back to the store that did it',
  options,
  async (t) => {
    const folder = temporaryFolder();
    const recording = join(folder.path, 'recording');
    try {
      const elf = compileRace(folder.path);
      const guest = ['--kernel', elf, '--cpus', '2', '--memory', '64M'];
      const ran = await umbra(['run', ...guest, '--record', recording, '--json']);
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stderr, /fault 0000000000000005 at [0-9a-f]+ address 5a5a5a5a5a5a5a5a/);
      t.diagnostic(ran.stdout.trim());
      const verified = await umbra(['replay', recording, '--verify', '--json']);
      assert.equal(verified.code, 0, verified.stdout + verified.stderr);
      t.diagnostic(verified.stdout.trim());

      await withDebugger(['replay', recording, '--gdb', '0'], async (port) => {
        const text = await debugWith(elf, port, [
          'break fault',
          'continue',
          'info threads',
          'print/x (unsigned long) free_list',
          'print/x $scause',
          'delete 1',
          'watch free_list',
          'reverse-continue',
          'print/x (unsigned long) free_list',
          'backtrace',
          'x/i $pc',
          'info threads',
          'monitor where',
          'stepi',
          'print/x (unsigned long) free_list',
          'reverse-stepi',
          'print/x (unsigned long) free_list',
          'monitor seek end',
          'monitor seek 999999999999999',
          'detach',
        ]);
        t.diagnostic(text);
        assert.match(text, /Breakpoint 1, fault \(cause=5/);
        assert.match(text, /\$1 = 0x5a5a5a5a5a5a5a5a/);
        assert.match(text, /\$2 = 0x5\n/);
        assert.match(text, /Hardware watchpoint 2: free_list/);
        // Back in front of the store: the list is still whole, and the store is in `take`.
        assert.match(text, /\$3 = 0x80[0-9a-f]+\n/);
        assert.match(text, /#0 .* take/);
        assert.match(text, /=> 0x[0-9a-f]+ <take\+\d+>:\s+sd/);
        assert.match(text, /\$4 = 0x5a5a5a5a5a5a5a5a/);
        assert.match(text, /\$5 = 0x80[0-9a-f]+\n/);
        assert.match(text, /The recording reaches from count 0 to \d+, not to 999999999999999/);
      });
    } finally {
      folder.remove();
    }
  },
);

test(
  'a live VM stops at breakpoints and watchpoints, steps, and can be changed',
  options,
  async (t) => {
    const folder = temporaryFolder();
    try {
      const elf = compileRace(folder.path);
      await withDebugger(
        ['run', '--kernel', elf, '--cpus', '2', '--memory', '64M', '--gdb', '0'],
        async (port) => {
          const text = await debugWith(elf, port, [
            'info registers pc',
            'break give',
            'continue',
            'print $_thread',
            'stepi',
            'x/i $pc',
            'delete',
            'watch rounds[1]',
            'continue',
            'print rounds[1]',
            'set variable rounds[1] = 5000',
            'print rounds[1]',
            'continue',
            'print rounds[1]',
            'detach',
          ]);
          t.diagnostic(text);
          assert.match(text, /pc\s+0x80200[0-9a-f]+/);
          assert.match(text, /Breakpoint 1, give/);
          assert.match(text, /New value = 1\n/);
          assert.match(text, /\$\d+ = 5000/);
          assert.match(text, /\$\d+ = 5001/);
        },
      );
    } finally {
      folder.remove();
    }
  },
);

test('a second debugger is turned away, and nonsense is survived', options, async () => {
  const folder = temporaryFolder();
  try {
    const elf = compileRace(folder.path);
    await withDebugger(
      ['run', '--kernel', elf, '--cpus', '2', '--memory', '64M', '--gdb', '0'],
      async (port) => {
        const first = connect(port, '127.0.0.1');
        await new Promise((resolve) => first.once('connect', resolve));
        const second = connect(port, '127.0.0.1');
        await new Promise((resolve) => second.once('close', resolve));
        let said = '';
        first.setEncoding('latin1').on('data', (piece) => {
          said += piece;
        });
        const nonsense = ['garbage$', '$m#00', '$mxyz,1#zz', '$Z9,,#aa', '+++---', '\x03\x03'];
        for (const each of nonsense) first.write(each);
        first.write('$qC#b4');
        const deadline = Date.now() + 20_000;
        while (!/\$QC[12]#/.test(said)) {
          assert.ok(Date.now() < deadline, said);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        first.destroy();
      },
    );
  } finally {
    folder.remove();
  }
});

const noImage = missing || (await imagesMissing('tiny'));

test('a program under Linux on two CPUs, and the kernel below it', { skip: noImage }, async (t) => {
  const folder = temporaryFolder();
  const recording = join(folder.path, 'recording');
  try {
    const elf = compileUser(folder.path);
    const { append, initrdPath, kernelPath } = await builtImage('tiny');
    const tree = new Tree();
    tree.file('/bin/added', readFileSync(elf), 0o755);
    const initrd = join(folder.path, 'initrd');
    writeFileSync(initrd, Buffer.concat([readFileSync(initrdPath), writeCpio(tree)]));
    const boot = ['--kernel', kernelPath, '--initrd', initrd, '--append', append, '--cpus', '2'];
    const kernelAddress =
      'echo 0 > /proc/sys/kernel/kptr_restrict; grep " do_exit$" /proc/kallsyms';
    const ran = await umbra(
      ['run', ...boot, '--memory', '128M', '--record', recording],
      [
        { after: 'umbra: tiny ready', input: `${kernelAddress}\n` },
        { after: 'T do_exit', input: 'added; echo it said $?; poweroff\n' },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /added up\r?\nit said 15/);
    const [, exit] = /([0-9a-f]{16}) T do_exit/.exec(ran.stdout) ?? [];
    await withDebugger(
      ['replay', recording, '--gdb', '0', '--from', 'text:T do_exit'],
      async (port) => {
        const text = await debugWith(elf, port, [
          'break add',
          'continue',
          'continue',
          'continue',
          'backtrace',
          'print total',
          'print $priv',
          'watch total',
          'reverse-continue',
          'reverse-continue',
          'print total',
          'delete',
          `break *0x${exit}`,
          'continue',
          'print $priv',
          'print $a0 >> 8',
          'info threads',
          'detach',
        ]);
        t.diagnostic(text);
        assert.match(text, /hit Breakpoint 1, add \(value=(value@entry=)?1\)/);
        assert.match(text, /hit Breakpoint 1, add \(value=(value@entry=)?3\)/);
        assert.match(text, /\$1 = 3\n/);
        assert.match(text, /\$2 = 0\n/);
        assert.match(text, /Old value = 3\nNew value = 1\n/);
        assert.match(text, /\$\d+ = 1\n/);
        assert.match(text, /hit Breakpoint 3, 0xffffffff[0-9a-f]+/);
      },
    );
  } finally {
    folder.remove();
  }
});

test("the kernel's functions by the names that it carries: to one of them, and back from it", {
  skip: noImage,
}, async (t) => {
  const folder = temporaryFolder();
  const recording = join(folder.path, 'recording');
  const elf = join(folder.path, 'kernel.elf');
  try {
    const ran = await umbra(
      ['run', '--image', 'tiny', '--record', recording],
      [
        { after: 'umbra: tiny ready', input: 'grep " do_exit$" /proc/kallsyms; echo off\n' },
        { after: 'T do_exit', input: 'poweroff\n' },
      ],
    );
    assert.equal(ran.code, 0, ran.stderr);
    const [, running] = /([0-9a-f]{16}) T do_exit/.exec(ran.stdout) ?? [];
    const made = await umbra(['image', 'symbols', 'tiny', '--to', elf, '--json']);
    assert.equal(made.code, 0, made.stderr);
    assert.ok((JSON.parse(made.stdout) as { symbols: number }).symbols > 50_000);
    // From the recording alone, too: the kernel is in it.
    const own = join(folder.path, 'own.elf');
    const same = await umbra(['image', 'symbols', join(recording, 'kernel'), '--to', own]);
    assert.equal(same.code, 0, same.stderr);
    assert.deepEqual(readFileSync(own), readFileSync(elf));
    const none = await umbra(['image', 'symbols', elf, '--to', join(folder.path, 'none')]);
    assert.match(none.stderr, /gives no symbols/);
    await withDebugger(
      ['replay', recording, '--gdb', '0', '--from', 'text:T do_exit'],
      async (port) => {
        const text = await debugWith(elf, port, [
          'break do_exit',
          'continue',
          'info symbol $pc',
          'print/x $pc',
          'print $priv',
          'reverse-continue',
          'continue',
          'info symbol $pc',
          'backtrace 1',
          'reverse-stepi',
          'info symbol $pc',
          'detach',
        ]);
        t.diagnostic(text);
        // There, back to the one before it, and there again.
        assert.equal(text.match(/Breakpoint 1, 0x[0-9a-f]+ in do_exit \(\)/g)?.length, 3);
        assert.match(text, /do_exit(\s\+ \d+)? in section \.text/);
        assert.match(text, /#0 +0x[0-9a-f]+ in do_exit \(\)/);
        // Not where the guest has forbidden to tell.
        if (!/^0*$/.test(running ?? '')) {
          const at = /\$1 = 0x([0-9a-f]+)/.exec(text)?.[1];
          const distance = BigInt(`0x${at}`) - BigInt(`0x${running}`);
          // GDB stops behind what a function begins with.
          assert.ok(distance >= 0n && distance < 64n, `${at}, ${running}`);
        }
      },
    );
  } finally {
    folder.remove();
  }
});
