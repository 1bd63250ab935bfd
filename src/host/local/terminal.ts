/**
 * The terminal of `umbra run` and of consoles: raw while attached, Ctrl-A x leaves, as in QEMU.
 * When standard input is not a terminal, its bytes go to the guest as they are.
 */
const prefix = 0x01; // Ctrl-A
const help = [
  'Ctrl-A x  leave',
  'Ctrl-A r  what the recording takes',
  'Ctrl-A h  this help',
  'Ctrl-A a  send Ctrl-A',
];
const lines = (...texts: readonly string[]): string => `\r\n${texts.join('\r\n')}\r\n`;

export interface Terminal {
  write(bytes: Uint8Array): void;
  /** Gives the terminal back as it was. */
  close(): void;
}

/** @param recording what Ctrl-A r tells; without it there is no such key */
export function openTerminal(
  onBytes: (bytes: Uint8Array) => void,
  leave: () => void,
  recording?: () => string,
): Terminal {
  const { stdin, stdout } = process;
  const raw = stdin.isTTY === true;
  let escaped = false;
  const receive = (chunk: Buffer): void => {
    if (!raw) return onBytes(chunk);
    const typed: number[] = [];
    for (const byte of chunk) {
      if (!escaped) {
        if (byte === prefix) escaped = true;
        else typed.push(byte);
        continue;
      }
      escaped = false;
      if (byte === 0x78) return leave(); // x
      if (byte === 0x68)
        stdout.write(lines(...help.filter((line) => recording || !line.includes('recording')))); // h
      else if (byte === 0x72 && recording)
        stdout.write(lines(recording())); // r
      else if (byte === 0x61 || byte === prefix) typed.push(prefix); // a
    }
    if (typed.length > 0) onBytes(Uint8Array.from(typed));
  };
  if (raw) stdin.setRawMode(true);
  stdin.on('data', receive);
  stdin.resume();
  return {
    write: (bytes) => stdout.write(bytes),
    close: () => {
      stdin.off('data', receive);
      if (raw) stdin.setRawMode(false);
      stdin.pause();
    },
  };
}
