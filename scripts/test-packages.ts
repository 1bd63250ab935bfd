/**
 * The Debian packages that tests use as outside oracles (QEMU, cross compilers, redis-cli, ...).
 * Installed where this user may; elsewhere named, and the tests that need them skip themselves.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Package -> a file that shows that it is there. */
const packages: Readonly<Record<string, string>> = {
  'etcd-server': '/usr/bin/etcd',
  'qemu-utils': '/usr/bin/qemu-img',
  'qemu-system-misc': '/usr/bin/qemu-system-riscv64',
  'gcc-riscv64-unknown-elf': '/usr/bin/riscv64-unknown-elf-gcc',
  'gdb-multiarch': '/usr/bin/gdb-multiarch',
  opensbi: '/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin',
  'qemu-user-static': '/usr/bin/qemu-aarch64-static',
  'libc6-arm64-cross': '/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1',
  'libgcc-s1-arm64-cross': '/usr/aarch64-linux-gnu/lib/libgcc_s.so.1',
  'libstdc++6-arm64-cross': '/usr/aarch64-linux-gnu/lib/libstdc++.so.6',
  'redis-tools': '/usr/bin/redis-cli',
  busybox: '/usr/bin/busybox',
  chromium: '/usr/bin/chromium',
  iproute2: '/usr/sbin/ip',
  e2fsprogs: '/usr/sbin/mke2fs',
  faketime: '/usr/bin/faketime',
};

export function installTestPackages(): void {
  const missing = Object.keys(packages).filter((name) => !existsSync(packages[name]!));
  if (missing.length === 0) return;
  const apt = existsSync('/usr/bin/apt-get');
  if (apt && process.getuid?.() === 0) {
    console.log(`installing Debian packages for the tests: ${missing.join(' ')}`);
    const options = { stdio: ['ignore', 'ignore', 'inherit'] as ['ignore', 'ignore', 'inherit'] };
    spawnSync('apt-get', ['update', '-q'], options);
    spawnSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], {
      ...options,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  }
  const still = missing.filter((name) => !existsSync(packages[name]!));
  if (still.length > 0) {
    console.log(`not installed: ${still.join(' ')} (tests that need them are skipped, by name)`);
  }
}
