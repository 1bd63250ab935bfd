/** What one does with a recording in a terminal, ready to be copied; options as src/cli has them. Pure. */

/** A place as `umbra replay` and `umbra vm rewind` take it. @param seconds of the guest's clock */
export const placeOf = (seconds: number): string => `time:${seconds.toFixed(3)}`;

/** Onto this machine, as the folder that `umbra replay` takes. */
export const fetchCommand = (vm: string, recording: string): string =>
  `umbra record export ${vm} ${recording} --to ${recording}.tar.zst && tar --zstd -xf ${recording}.tar.zst`;

export interface RecordingCommand {
  readonly title: string;
  readonly what: string;
  readonly command: string;
}

/** @param place that is looked at; undefined: none, so the whole of it is meant */
export function commandsOf(vm: string, recording: string, place?: string): RecordingCommand[] {
  const fetched = `${fetchCommand(vm, recording)} && umbra replay ${recording}`;
  const until = place === undefined ? '' : ` --until ${place}`;
  const from = place === undefined ? '' : ` --from ${place}`;
  return [
    {
      title: 'Replay',
      what:
        place === undefined
          ? 'The console again, as fast as it goes; --real-time: at the pace of its clock.'
          : 'The console again, up to this place.',
      command: `${fetched}${until}`,
    },
    {
      title: 'Debug',
      what: 'GDB forwards and backwards, from this place: target remote :1234 in gdb-multiarch.',
      command: `${fetched}${from} --gdb 1234`,
    },
    {
      title: 'Go live',
      what: 'A new VM goes on from there in a terminal. Nobody hears it: its network is apart.',
      command: `${fetched} --go-live${until}`,
    },
  ];
}
