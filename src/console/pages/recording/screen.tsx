/**
 * The screen of the serial console as it was: a terminal that is given what the guest had said by
 * then. Going on it is given what has come since; going back it begins anew. While somebody drags it
 * is given the newest place only, never those that were passed.
 */
import '@xterm/xterm/css/xterm.css';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { useEffect, useRef } from 'react';
import { stylesWithNonce } from '../vm/tabs/console/styles-with-nonce.ts';
import type { SaidText } from './said-text.ts';

/** In one go, so that a new place is not waited for. */
const goBytes = 128 * 1024;

/** @param length of what it has said by then */
export function Screen({ said, length }: { readonly said: SaidText; readonly length: number }) {
  const frame = useRef<HTMLDivElement>(null);
  const player = useRef<ScreenPlayer>(undefined);

  useEffect(() => {
    const terminal = new Terminal({
      ...{ cursorBlink: false, disableStdin: true, screenReaderMode: true },
      fontFamily: "ui-monospace, 'JetBrains Mono', 'DejaVu Sans Mono', monospace",
      ...{ fontSize: 13, lineHeight: 1.15, scrollback: 1_000 },
      theme: { background: '#0d1015', foreground: '#d6dbe3', cursor: '#8aa4ff' },
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    stylesWithNonce(() => terminal.open(frame.current!));
    fit.fit();
    const resized = new ResizeObserver(() => fit.fit());
    resized.observe(frame.current!);
    player.current = new ScreenPlayer(terminal, said);
    return () => {
      resized.disconnect();
      player.current = undefined;
      terminal.dispose();
    };
  }, [said]);

  useEffect(() => player.current?.show(length), [length]);

  return <div className="u-screen-frame" ref={frame} />;
}

class ScreenPlayer {
  readonly #terminal: Terminal;
  readonly #said: SaidText;
  #wanted = 0;
  #given = 0;
  #isBusy = false;

  constructor(terminal: Terminal, said: SaidText) {
    this.#terminal = terminal;
    this.#said = said;
  }

  show(length: number): void {
    this.#wanted = length;
    if (!this.#isBusy) this.#go();
  }

  #go(): void {
    const wanted = this.#wanted;
    if (wanted === this.#given) return;
    const beginning = this.#said.beginningOf(wanted);
    if (wanted < this.#given || beginning > this.#given) {
      this.#terminal.reset();
      this.#given = beginning;
    }
    const next = Math.min(wanted, this.#given + goBytes);
    const bytes = this.#said.slice(this.#given, next);
    this.#given = next;
    this.#isBusy = true;
    this.#terminal.write(bytes, () => {
      this.#isBusy = false;
      this.#go();
    });
  }
}
