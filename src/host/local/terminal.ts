/**
 * The terminal of `umbra run` and of consoles: raw while attached, Ctrl-A x leaves, as in QEMU.
 * When standard input is not a terminal, its bytes go to the guest as they are.
 */
const prefix = 0x01; // Ctrl-A
const help = '\r\nCtrl-A x  leave\r\nCtrl-A h  this help\r\nCtrl-A a  send Ctrl-A\r\n';

export interface Terminal {
  write(bytes: Uint8Array): void;
  /** Gives the terminal back as it was. */
  close(): void;
}

export function openTerminal(onBytes: (bytes: Uint8Array) => void, leave: () => void): Terminal {
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
        stdout.write(help); // h
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
