/**
 * Debian's OpenSBI as firmware, in M-mode at the start of RAM, and Debian's kernel above it up to
 * the shell: whatever firmware expects of PMP, CLINT, traps and CSRs is there.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { virtMachineMaker } from '../../src/board/virt.ts';
import { runUntil, tinyConfiguration, tinyMissing, typed } from './tiny.ts';

const folder = '/usr/lib/riscv64-linux-gnu/opensbi/generic';
const skip = existsSync(folder) ? await tinyMissing() : 'opensbi is not installed';

for (const [hartCount, firmware] of [
  [1, 'fw_dynamic.bin'],
  [2, 'fw_jump.bin'],
] as const) {
  test(`OpenSBI ${firmware} starts Debian on ${hartCount} harts`, { skip }, async () => {
    const bios = readFileSync(join(folder, firmware));
    const machine = virtMachineMaker(await tinyConfiguration({ bios, hartCount })).powerOn();
    const { text } = runUntil(machine, 'umbra: tiny ready', 1_000_000_000n);
    assert.match(text, /Platform Name +: riscv-virtio/);
    assert.match(text, new RegExp(`Platform HART Count +: ${hartCount}\\b`));
    typed(machine, 'dmesg | grep "SBI impl"; nproc; poweroff');
    const rest = runUntil(machine, 'no such text', 2_000_000_000n);
    assert.ok(rest.off, 'OpenSBI switches the machine off');
    assert.match(rest.text, /SBI implementation ID=0x1 /);
    assert.match(rest.text, new RegExp(`^${hartCount}\\r?$`, 'm'));
  });
}
