/**
 * A client of tests/guests/lan.c, run in a namespace of its own as: lan-client.ts ADDRESS. Over one
 * TCP connection that it never makes again, it sends one request at a time and checks that each
 * answer is the last one plus one. Its parent, on Node's channel, gets a report for each message
 * it sends: what has come so far, and the longest time without an answer since the last report.
 */
import { connect } from 'node:net';
import { lanPort } from './lan-guest.fixture.ts';

export interface LanReport {
  readonly answers: number;
  readonly longestGapMs: number;
  /** What was wrong, first of all. */
  readonly problem: string | undefined;
}

let answers = 0;
let longest = 0;
let answeredAt = performance.now();
let problem: string | undefined;
let pending = Buffer.alloc(0);

const socket = connect(lanPort, process.argv[2]!);
socket.setNoDelay(true);
const ask = (): boolean => socket.write('request!');
const wrong = (what: string): void => {
  problem ??= what;
  socket.destroy();
};
socket.on('connect', ask);
socket.on('error', (error) => wrong(error.message));
socket.on('close', () => wrong('the connection was closed'));
socket.on('data', (chunk) => {
  pending = Buffer.concat([pending, chunk]);
  if (pending.length < 8) return;
  const count = pending.readUInt32BE(4);
  if (pending.length > 8 || count !== answers + 1) {
    wrong(`after ${answers} answers came ${pending.toString('hex')}`);
    return;
  }
  pending = Buffer.alloc(0);
  answers = count;
  const now = performance.now();
  longest = Math.max(longest, now - answeredAt);
  answeredAt = now;
  // Not as fast as it can: the machine belongs to others too.
  setTimeout(ask, 1);
});

process.on('message', () => {
  longest = Math.max(longest, performance.now() - answeredAt);
  const report: LanReport = { answers, longestGapMs: Math.round(longest), problem };
  longest = 0;
  process.send!(report);
});
process.on('disconnect', () => process.exit(0));
