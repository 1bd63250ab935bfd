/** A packet's way out, stage by stage with the real parts: read this first. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { decodeEntries } from '../../src/lockstep/entries.ts';
import { OutputGate } from '../../src/lockstep/output-gate.ts';
import { Recorder } from '../../src/lockstep/recorder.ts';
import { portGeneration, Switch } from '../../src/network/switch.ts';
import { ethernetFrame, guestMac, guestThatSends } from './guest.fixture.ts';

const somebody = Uint8Array.of(0x02, 0, 0, 0, 0, 7);

test('a frame leaves the guest, waits at the gate, and is delivered once it is acknowledged', () => {
  const frame = ethernetFrame(somebody, guestMac, 'hello, world');
  const machine = guestThatSends(frame).powerOn();
  const recorder = new Recorder(machine, 1);
  recorder.listening = true;
  const gate = new OutputGate(0);
  gate.close();

  // The guest kicks its card: the device takes the chain, the machine stamps the count.
  assert.equal(machine.run(100_000n), 'idle');
  const [output] = machine.takeOutputs();
  assert.ok(output?.kind === 'frame');
  assert.deepEqual(output.frame, frame);
  assert.ok(output.count < machine.count);

  // The gate holds it, and the log says how far the machine has come.
  gate.hold(output);
  const position = recorder.note({ kind: 'progress' });
  gate.seal(position);
  const batch = recorder.take();
  assert.ok(batch);
  const [entry] = decodeEntries(batch.entries);
  assert.ok(entry && entry.count >= output.count);
  assert.deepEqual(gate.release(position - 1), []);

  // The shadow acknowledges: the frame goes to the switch, and to whoever it is for.
  const released = gate.release(position);
  assert.deepEqual(released, [output]);
  const received: Uint8Array[] = [];
  const network = new Switch();
  const port = network.addPort(1, portGeneration(1, 1), { deliver: () => {} });
  network.addPort(0, 0, { deliver: (delivered) => received.push(delivered.slice()) });
  for (const left of released) if (left.kind === 'frame') network.receive(port, left.frame, 0);
  assert.deepEqual(received, [frame]);
});
