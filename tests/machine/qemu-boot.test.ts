/** Debian's kernel finds here the machine that it finds on QEMU's `virt`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { virtMachineMaker } from '../../src/board/virt.ts';
import { qemuMissing } from '../oracle/qemu.ts';
import { runUntil, tinyConfiguration, tinyImage, tinyMissing, typed } from './tiny.ts';

const skip = qemuMissing || (await tinyMissing());

const commands = [
  'uname -a',
  'nproc',
  'cat /proc/cmdline',
  'grep "System RAM" /proc/iomem',
  "dmesg | sed 's/^[^]]*. //' | grep -E '^(clocksource: riscv|printk: .*ttyS0 |.*PLIC|.*16550A|goldfish.*registered)'",
  'ls /sys/bus/platform/drivers/of_serial /sys/bus/platform/drivers/goldfish_rtc | grep 1',
  'ls /sys/class/tty | wc -l',
];
const line = `${commands.join('; ')}; echo FI""N`;

/** What the commands printed, line by line, without the echo of what was typed. */
const printed = (text: string): string[] => {
  const lines = text.replaceAll('\r', '').split('\n');
  const end = lines.indexOf('FIN');
  const start = lines.findLastIndex((one, index) => index < end && one.includes('FI""N'));
  return lines.slice(start + 1, end);
};

async function onQemu(): Promise<string[]> {
  const { append, initrdPath, kernelPath, ready } = await tinyImage();
  const child = spawn('qemu-system-riscv64', [
    ...['-machine', 'virt', '-smp', '1', '-m', '128M', '-display', 'none', '-net', 'none'],
    ...['-serial', 'stdio', '-monitor', 'none', '-kernel', kernelPath, '-initrd', initrdPath],
    ...['-append', append],
  ]);
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  let text = '';
  let typedYet = false;
  for await (const chunk of child.stdout.setEncoding('latin1')) {
    text += chunk;
    if (!typedYet && text.includes(`${ready}\r\n`)) {
      typedYet = true;
      child.stdin.write(`${line}\n`);
    }
    if (/\nFIN\r?\n/.test(text)) break;
  }
  clearTimeout(timer);
  child.kill('SIGKILL');
  return printed(text);
}

test('Debian finds the same machine here and on QEMU', { skip }, async () => {
  const expected = await onQemu();
  const machine = virtMachineMaker(await tinyConfiguration()).powerOn();
  runUntil(machine, (await tinyImage()).ready, 1_000_000_000n);
  typed(machine, line);
  const { text } = runUntil(machine, '\nFIN\r\n', 2_000_000_000n);
  assert.ok(expected.length >= 10, expected.join('\n'));
  assert.deepEqual(printed(text), expected);
});
