/** The recipe `redis` under QEMU's TCG behind its user network, published like a VM of Umbra's. */
import { spawn } from 'node:child_process';
import { answersPing, freePort } from '../../src/cli/demo/ports.ts';
import { builtImage } from '../../tests/images/built-image.ts';
import { sleep } from './stage.ts';

const bootMsMax = 120_000;

export interface QemuRedis {
  readonly port: number;
  readonly pid: number;
  end(): void;
}

export async function startQemuRedis(): Promise<QemuRedis> {
  const { kernelPath, initrdPath, append, memory } = await builtImage('redis');
  const port = await freePort();
  const args = [
    ...['-machine', 'virt', '-smp', '1', '-m', `${memory / 2 ** 20}`, '-accel', 'tcg'],
    ...['-netdev', `user,id=network,hostfwd=tcp:127.0.0.1:${port}-:6379`],
    ...['-device', 'virtio-net-device,netdev=network', '-device', 'virtio-rng-device'],
    ...['-display', 'none', '-serial', 'none', '-monitor', 'none', '-no-reboot'],
    ...['-kernel', kernelPath, '-initrd', initrdPath, '-append', append],
  ];
  const child = spawn('qemu-system-riscv64', args, { stdio: 'ignore' });
  const end = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', end);
  const deadline = performance.now() + bootMsMax;
  while (!(await answersPing(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      end();
      throw new Error('Redis under QEMU does not answer; does qemu-system-riscv64 start here?');
    }
    await sleep(100);
  }
  return { port, pid: child.pid!, end };
}
