import assert from 'node:assert/strict';
import test from 'node:test';
import { boardOf } from '../board/bare-board.fixture.ts';
import { assemble } from '../isa/assemble.ts';
import { LogReceiver } from './log-receiver.ts';
import { LogSender } from './log-sender.ts';
import { type BatchMessage, decodeMessage } from './messages.ts';
import { Recorder } from './recorder.ts';
import { Replayer } from './replayer.ts';
import { timing } from './timing.ts';

/** Both ends of a log, the machines at them included; what is sent arrives at once. */
class Pair {
  now = 0;
  readonly #recorder = new Recorder(endless(), 1);
  readonly sender = new LogSender(0);
  readonly receiver = new LogReceiver(0);
  readonly #replayer = new Replayer(endless(), 1);

  constructor() {
    const send = (message: Uint8Array): void => {
      this.receiver.batch(decodeMessage(message) as BatchMessage);
    };
    this.sender.resume({ send, close: () => {} }, 0, 0, this.now);
    this.#recorder.listening = true;
    this.receiver.restored(this.#replayer);
  }

  /** @param holds whether an output waits for this batch */
  sendBatch(holds: boolean): void {
    this.#recorder.note({ kind: 'progress' });
    const batch = this.#recorder.take()!;
    this.sender.send(batch, batch.lastPosition - (holds ? 1 : 0), 0, this.now);
  }

  execute(): void {
    while (this.#replayer.advance(1_000n).kind !== 'waiting');
  }

  acknowledge(): void {
    this.sender.acknowledged(this.receiver.acknowledge(this.now), this.now);
  }
}

const endless = () => boardOf([assemble('jal', { rd: 0, imm: 0 })]);

test('a batch is acknowledged at once where an output waits for it, else when it is executed', () => {
  const pair = new Pair();
  pair.now = 5_000_000;
  pair.sendBatch(true);
  assert.ok(pair.receiver.awaited);
  pair.acknowledge();
  assert.equal(pair.sender.acknowledgedPosition, 1);
  pair.execute();
  assert.equal(pair.receiver.ackDue, pair.now + timing.executedReportMicros, 'that one told it');

  pair.now += timing.batchMicros;
  pair.sendBatch(false);
  assert.equal(pair.receiver.awaited, false);
  pair.execute();
  assert.ok(pair.receiver.ackDue <= pair.now, 'with what it is about');
  pair.acknowledge();
  assert.equal(pair.sender.acknowledgedPosition, 2);
  assert.equal(pair.sender.executedPosition, 2);
  assert.equal(pair.sender.lag(pair.now), 0);
  assert.equal(pair.receiver.ackDue, pair.now + timing.heartbeatMicros, 'there is no more to tell');
});

test('a shadow that is behind tells of its progress in between', () => {
  const pair = new Pair();
  pair.sendBatch(false);
  pair.acknowledge();
  pair.execute();
  pair.sendBatch(false);
  assert.equal(pair.receiver.awaited, false);
  assert.equal(pair.receiver.ackDue, pair.now + timing.executedReportMicros);
});

test('the round trip is measured once a second where no output waits', () => {
  const pair = new Pair();
  const batches = (count: number, each: number): number => {
    let awaited = 0;
    for (let batch = 0; batch < count; batch++) {
      pair.now += each;
      pair.sendBatch(false);
      if (pair.receiver.awaited) awaited++;
      pair.execute();
      pair.acknowledge();
    }
    return awaited;
  };
  assert.equal(batches(300, 10_000), 3);
  assert.equal(pair.sender.roundTripMicros, 0);
});
