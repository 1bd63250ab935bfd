/** `umbra vm measurements`: the last quarter of an hour of a VM, as the console's charts have it. */
import type { Command } from 'commander';
import { type Measured, type MeasurementsView, measuredSeconds } from '../api/measurements.ts';
import { centerOptions, mebibytes, show, table, withCenter } from './session.ts';
import { wholeNumber } from './whole-number.ts';

const secondsShown = 30;

export function registerMeasurements(vm: Command): void {
  centerOptions(vm.command('measurements'))
    .description('CPU, memory, network, disks and log of a VM over the last quarter of an hour')
    .argument('<vm>')
    .option('--seconds <n>', `how far back, at most ${measuredSeconds}`, wholeNumber, secondsShown)
    .option('--json', 'print the columns as JSON')
    .action(async (name: string, { json, seconds, ...options }) => {
      const view = await withCenter(options, (client) =>
        client.call('listMeasurements', { params: { vm: name }, query: { seconds } }),
      );
      show(json, view, () =>
        view.times.length === 0
          ? `Nothing was measured: ${name} was not powered on.`
          : table(
              heads,
              view.times.map((_, at) => row(view, at)),
            ),
      );
    });
}

const heads = [
  ...['TIME', 'CPU %', 'MEMORY', 'IN Mbit/s', 'OUT Mbit/s', 'READ kB/s', 'WRITTEN kB/s'],
  ...['LOG Mbit/s', 'LAG ms', 'GATE ms'],
];

function row(view: MeasurementsView, at: number): string[] {
  const value = (name: Measured, unit = 1, digits = 1): string => {
    const found = view[name][at];
    return found == null ? '-' : (found / unit).toFixed(digits);
  };
  const memory = view.memoryBytes[at];
  return [
    new Date(view.times[at]!).toISOString().slice(11, 19),
    value('cpuPercent'),
    memory == null ? '-' : mebibytes(memory),
    value('receivedMbitPerSecond', 1, 2),
    value('sentMbitPerSecond', 1, 2),
    value('readBytesPerSecond', 1_000),
    value('writtenBytesPerSecond', 1_000),
    value('logMbitPerSecond', 1, 2),
    value('lagMs'),
    value('gateMs', 1, 2),
  ];
}
