/**
 * Bytes of the log channel on the wire, counted by the kernel and read with `ss`: what TCP has sent,
 * and the headers of its segments, acknowledgements included.
 */
import { execFileSync } from 'node:child_process';

/** Ethernet 14, IPv4 20, TCP 20 with the time stamps' 12, which Linux has in every segment. */
export const headerBytes = 66;

export interface TcpSocket {
  /** Address with port, on each side. */
  readonly local: string;
  readonly peer: string;
  readonly pids: readonly number[];
  readonly bytesSent: number;
  readonly segmentsSent: number;
}

/** What `ss -tinpH state established` prints: two lines for each socket. */
export function parseSockets(text: string): TcpSocket[] {
  const sockets: TcpSocket[] = [];
  const lines = text.split('\n');
  for (let at = 0; at + 1 < lines.length; at++) {
    const ends = /^\d+\s+\d+\s+(\S+:\d+)\s+(\S+:\d+)\s*(.*)$/.exec(lines[at]!);
    if (ends === null) continue;
    const counter = (name: string): number =>
      Number(new RegExp(`\\b${name}:(\\d+)`).exec(lines[at + 1]!)?.[1] ?? 0);
    sockets.push({
      local: ends[1]!,
      peer: ends[2]!,
      pids: [...ends[3]!.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid)),
      bytesSent: counter('bytes_sent'),
      segmentsSent: counter('segs_out'),
    });
  }
  return sockets;
}

/** Bytes on the wire from one process to another so far, on the connections that they have. */
export function wireBytes(sockets: readonly TcpSocket[], from: number, to: number): number {
  const theirs = new Set(
    sockets.filter(({ pids }) => pids.includes(to)).map(({ local, peer }) => `${peer} ${local}`),
  );
  return sockets
    .filter(({ pids, local, peer }) => pids.includes(from) && theirs.has(`${local} ${peer}`))
    .reduce((sum, each) => sum + each.bytesSent + each.segmentsSent * headerBytes, 0);
}

export const sockets = (): TcpSocket[] =>
  parseSockets(execFileSync('ss', ['-tinpH', 'state', 'established'], { encoding: 'utf8' }));
