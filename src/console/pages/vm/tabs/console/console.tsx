/**
 * The VM's serial console. It stays through failovers: the center puts the bytes of whichever copy
 * is live into one stream, and a connection that breaks goes on at the byte where it was.
 */
import '@xterm/xterm/css/xterm.css';
import { FitAddon } from '@xterm/addon-fit';
import { Terminal } from '@xterm/xterm';
import { useEffect, useRef, useState } from 'react';
import {
  ConsoleKeys,
  ConsolePlace,
  type ConsoleToViewer,
} from '../../../../../api/console-messages.ts';
import { useCluster } from '../../../../live/hooks.ts';
import type { Link, LinkState } from '../../../../live/reconnecting.ts';
import { sentence } from '../../../../parts/problem.tsx';
import { Status } from '../../../../parts/status.tsx';
import type { TabProps } from '../../define-tab.ts';
import { stylesWithNonce } from './styles-with-nonce.ts';

const scrollbackLines = 5_000;

export default function Console({ vm }: TabProps) {
  const cluster = useCluster();
  const frame = useRef<HTMLDivElement>(null);
  const [state, setState] = useState<LinkState>('connecting');
  const [refused, setRefused] = useState<string | undefined>();
  const { id, ft } = vm;

  useEffect(() => {
    const terminal = new Terminal({
      cursorBlink: false,
      fontFamily: "ui-monospace, 'JetBrains Mono', 'DejaVu Sans Mono', monospace",
      fontSize: 13,
      lineHeight: 1.15,
      scrollback: scrollbackLines,
      screenReaderMode: true,
      theme: { background: '#0d1015', foreground: '#d6dbe3', cursor: '#8aa4ff' },
    });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    stylesWithNonce(() => terminal.open(frame.current!));
    fit.fit();
    const resized = new ResizeObserver(() => fit.fit());
    resized.observe(frame.current!);

    const place = new ConsolePlace();
    const keys = new ConsoleKeys(crypto.randomUUID());
    const link: Link = cluster.link({
      path: () => `/vms/${encodeURIComponent(id)}/console`,
      onState: setState,
      onOpen() {
        const unanswered = keys.unanswered();
        if (unanswered !== undefined) link.send(JSON.stringify(unanswered));
      },
      onRefused: (why) => setRefused(sentence(why.message)),
      onMessage(text) {
        const message = JSON.parse(text) as ConsoleToViewer;
        if (message.kind === 'poweredOn') {
          place.restart();
          terminal.write('\r\n\x1b[2m[powered on]\x1b[0m\r\n');
          return;
        }
        if (message.kind === 'typed') return keys.taken(message);
        const fresh = place.take(message, bytesOf(message.bytes));
        if (fresh.bytes.length > 0) terminal.write(fresh.bytes);
      },
    });
    const type = (text: string) => {
      link.send(JSON.stringify(keys.type(new TextEncoder().encode(text))));
    };
    const typed = terminal.onData(type);
    terminal.focus();
    return () => {
      typed.dispose();
      resized.disconnect();
      link.close();
      terminal.dispose();
    };
  }, [cluster, id]);

  return (
    <div className="u-console">
      <div className="u-console-bar">
        {refused !== undefined ? (
          <Status tone="bad" text={refused} />
        ) : state === 'open' ? (
          <Status tone="good" text="Attached" />
        ) : (
          <Status tone="busy" text="Attaching …" />
        )}
        <span className="u-dim">
          {ft.primary === null
            ? 'Nothing is live; what you type goes nowhere.'
            : `Live on ${ft.primary.host}. Stays attached when another copy goes live.`}
        </span>
      </div>
      <div className="u-console-frame" ref={frame} />
    </div>
  );
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}
