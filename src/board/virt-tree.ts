/** The device tree of the board: what QEMU's `virt` would say of the same devices. */
import {
  timebaseFrequency,
  uartClockFrequency,
  virtioSlot,
  virtioSlots,
  virtMap,
} from '../devices/virt-map.ts';
import { ramBase } from '../machine/layout.ts';
import { cells64, flattenTree, type TreeNode } from './device-tree.ts';

export interface TreeConfiguration {
  readonly hartCount: number;
  readonly ramBytes: number;
  readonly bootArguments: string;
  /** Where the initial RAM disk lies, if there is one. */
  readonly initrd: { readonly start: number; readonly end: number } | undefined;
  /** A power-on input: what the kernel seeds its generator with. */
  readonly randomSeed: Uint8Array;
}

const extensions = ['i', 'm', 'a', 'f', 'd', 'c'];
const namedExtensions = ['zicntr', 'zicsr', 'zifencei', 'zihintpause', 'zba', 'zbb', 'zbs', 'sstc'];
const isaString = `rv64imafdc_${namedExtensions.join('_')}`;

const plicHandle = 0x1000;
const sysconHandle = 0x1001;
const cpuHandle = (index: number): number => 1 + index;
const interruptHandle = (index: number): number => 0x100 + index;

/** Interrupts of a hart, as the local controller numbers them. */
const hartInterrupt = {
  supervisorExternal: 9,
  machineExternal: 11,
  machineSoftware: 3,
  machineTimer: 7,
};

const region = (base: number, size: number): number[] => [...cells64(base), ...cells64(size)];
const hex = (value: number): string => value.toString(16);

function cpu(index: number): TreeNode {
  return {
    name: `cpu@${index}`,
    properties: {
      phandle: cpuHandle(index),
      device_type: 'cpu',
      reg: index,
      status: 'okay',
      compatible: 'riscv',
      'riscv,isa-base': 'rv64i',
      'riscv,isa-extensions': [...extensions, ...namedExtensions],
      'riscv,isa': isaString,
      'mmu-type': 'riscv,sv48',
    },
    children: [
      {
        name: 'interrupt-controller',
        properties: {
          '#interrupt-cells': 1,
          'interrupt-controller': true,
          compatible: 'riscv,cpu-intc',
          phandle: interruptHandle(index),
        },
      },
    ],
  };
}

function virtioNode(slot: number): TreeNode {
  const { base, size, interrupt } = virtioSlot(slot);
  return {
    name: `virtio_mmio@${hex(base)}`,
    properties: {
      compatible: 'virtio,mmio',
      reg: region(base, size),
      interrupts: interrupt,
      'interrupt-parent': plicHandle,
    },
  };
}

function soc(harts: readonly number[]): TreeNode {
  const { clint, plic, rtc, syscon, uart } = virtMap;
  return {
    name: 'soc',
    properties: {
      '#address-cells': 2,
      '#size-cells': 2,
      compatible: 'simple-bus',
      ranges: true,
    },
    children: [
      {
        name: `clint@${hex(clint.base)}`,
        properties: {
          compatible: ['sifive,clint0', 'riscv,clint0'],
          reg: region(clint.base, clint.size),
          'interrupts-extended': harts.flatMap((index) => [
            interruptHandle(index),
            hartInterrupt.machineSoftware,
            interruptHandle(index),
            hartInterrupt.machineTimer,
          ]),
        },
      },
      {
        name: `plic@${hex(plic.base)}`,
        properties: {
          phandle: plicHandle,
          compatible: ['sifive,plic-1.0.0', 'riscv,plic0'],
          '#address-cells': 0,
          '#interrupt-cells': 1,
          'interrupt-controller': true,
          reg: region(plic.base, plic.size),
          'riscv,ndev': 95,
          'interrupts-extended': harts.flatMap((index) => [
            interruptHandle(index),
            hartInterrupt.machineExternal,
            interruptHandle(index),
            hartInterrupt.supervisorExternal,
          ]),
        },
      },
      {
        name: `test@${hex(syscon.base)}`,
        properties: {
          phandle: sysconHandle,
          compatible: ['sifive,test1', 'sifive,test0', 'syscon'],
          reg: region(syscon.base, syscon.size),
        },
      },
      {
        name: `rtc@${hex(rtc.base)}`,
        properties: {
          compatible: 'google,goldfish-rtc',
          reg: region(rtc.base, rtc.size),
          interrupts: rtc.interrupt,
          'interrupt-parent': plicHandle,
        },
      },
      {
        name: `serial@${hex(uart.base)}`,
        properties: {
          compatible: 'ns16550a',
          reg: region(uart.base, uart.size),
          interrupts: uart.interrupt,
          'interrupt-parent': plicHandle,
          'clock-frequency': uartClockFrequency,
        },
      },
      ...Array.from({ length: virtioSlots }, (_, slot) => virtioNode(slot)),
    ],
  };
}

export function virtTree(configuration: TreeConfiguration): Uint8Array {
  const { hartCount, ramBytes, bootArguments, initrd, randomSeed } = configuration;
  const harts = Array.from({ length: hartCount }, (_, index) => index);
  const { uart } = virtMap;
  return flattenTree({
    name: '',
    properties: {
      '#address-cells': 2,
      '#size-cells': 2,
      compatible: 'riscv-virtio',
      model: 'riscv-virtio,umbra',
    },
    children: [
      {
        name: 'chosen',
        properties: {
          bootargs: bootArguments,
          'stdout-path': `/soc/serial@${hex(uart.base)}`,
          'rng-seed': randomSeed,
          ...(initrd && {
            'linux,initrd-start': cells64(initrd.start),
            'linux,initrd-end': cells64(initrd.end),
          }),
        },
      },
      {
        name: `memory@${hex(ramBase)}`,
        properties: { device_type: 'memory', reg: region(ramBase, ramBytes) },
      },
      {
        name: 'cpus',
        properties: {
          '#address-cells': 1,
          '#size-cells': 0,
          'timebase-frequency': timebaseFrequency,
        },
        children: harts.map(cpu),
      },
      {
        name: 'poweroff',
        properties: {
          compatible: 'syscon-poweroff',
          regmap: sysconHandle,
          offset: 0,
          value: 0x5555,
        },
      },
      {
        name: 'reboot',
        properties: { compatible: 'syscon-reboot', regmap: sysconHandle, offset: 0, value: 0x7777 },
      },
      soc(harts),
    ],
  });
}
