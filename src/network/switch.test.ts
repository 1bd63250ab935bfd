import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ETHERTYPE_IPV4, writeEthernet } from './frames/ethernet.ts';
import { type Port, portGeneration, Switch } from './switch.ts';
import { MAC_BROADCAST, type Mac } from './wire.ts';

const A: Mac = 0x525400000001;
const B: Mac = 0x525400000002;

function frame(destination: Mac, source: Mac, tag = 0): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[writeEthernet(bytes, destination, source, ETHERTYPE_IPV4)] = tag;
  return bytes;
}

/** Whole switches joined by a full mesh of trunks; every port writes down what it was given. */
class Mesh {
  readonly switches: Switch[];
  readonly trunks: Port[][] = [];
  readonly received: string[] = [];
  now = 0;

  constructor(count: number) {
    this.switches = Array.from({ length: count }, () => new Switch());
    for (let from = 0; from < count; from++) {
      this.trunks.push([]);
      for (let to = 0; to < count; to++) {
        if (to === from) continue;
        this.trunks[from]![to] = this.switches[from]!.addTrunk({
          deliver: (vm, generation, bytes) =>
            this.switches[to]!.receiveFromTrunk(
              this.trunks[to]![from]!,
              vm,
              generation,
              bytes,
              this.now,
            ),
        });
      }
    }
  }

  attach(host: number, name: string, vm: number, generation: number): Port {
    return this.switches[host]!.addPort(vm, generation, {
      deliver: (bytes) => this.received.push(`${name}:${bytes[14]}`),
    });
  }

  take(): string[] {
    return this.received.splice(0).sort();
  }
}

test('unknown and group destinations are flooded once to everybody else, over one hop', () => {
  const mesh = new Mesh(3);
  const a = mesh.attach(0, 'a', 1, 1);
  mesh.attach(0, 'a2', 4, 1);
  mesh.attach(1, 'b', 2, 1);
  mesh.attach(2, 'c', 3, 1);
  mesh.switches[0]!.receive(a, frame(MAC_BROADCAST, A, 7), 0);
  assert.deepEqual(mesh.take(), ['a2:7', 'b:7', 'c:7']);
  mesh.switches[0]!.receive(a, frame(B, A, 8), 0);
  assert.deepEqual(mesh.take(), ['a2:8', 'b:8', 'c:8']);
});

test('a learned destination gets the frame alone, until its place has aged', () => {
  const mesh = new Mesh(3);
  const a = mesh.attach(0, 'a', 1, 1);
  const b = mesh.attach(1, 'b', 2, 1);
  mesh.attach(2, 'c', 3, 1);
  mesh.switches[1]!.receive(b, frame(MAC_BROADCAST, B), 0);
  mesh.take();
  mesh.switches[0]!.receive(a, frame(B, A, 1), 1);
  assert.deepEqual(mesh.take(), ['b:1']);
  mesh.now = 301_000_000;
  mesh.switches[0]!.receive(a, frame(B, A, 2), mesh.now);
  assert.deepEqual(mesh.take(), ['b:2', 'c:2']);
});

test('after a go-live the stale primary is silent everywhere, its own host included', () => {
  const mesh = new Mesh(3);
  const old = mesh.attach(0, 'old', 1, portGeneration(1, 5));
  const client = mesh.attach(2, 'client', 2, 1);
  mesh.switches[2]!.receive(client, frame(MAC_BROADCAST, B), 0);
  mesh.switches[0]!.receive(old, frame(B, A, 1), 0);
  mesh.take();

  const fresh = mesh.attach(1, 'new', 1, portGeneration(1, 6));
  mesh.switches[1]!.receive(fresh, frame(MAC_BROADCAST, A, 2), 0);
  mesh.take();
  mesh.switches[0]!.receive(old, frame(B, A, 3), 0);
  assert.deepEqual(mesh.take(), [], 'a frame of the old generation came through');
  mesh.switches[2]!.receive(client, frame(A, B, 4), 0);
  assert.deepEqual(mesh.take(), ['new:4']);
  assert.equal(mesh.switches[0]!.counters.stale, 1);
});

test('a stale frame on a trunk is dropped by the receiver too', () => {
  const mesh = new Mesh(2);
  mesh.attach(0, 'here', 2, 1);
  const { switches, trunks } = mesh;
  switches[0]!.place(1, 9, [A], trunks[0]![1]!, 0);
  switches[0]!.receiveFromTrunk(trunks[0]![1]!, 1, 8, frame(MAC_BROADCAST, A), 0);
  assert.deepEqual(mesh.take(), []);
  switches[0]!.receiveFromTrunk(trunks[0]![1]!, 1, 9, frame(MAC_BROADCAST, A, 3), 0);
  assert.deepEqual(mesh.take(), ['here:3']);
});

test('the floating place moves an address at once, and only forwards in generation', () => {
  const mesh = new Mesh(3);
  const client = mesh.attach(0, 'client', 2, 1);
  mesh.attach(1, 'old', 1, 1);
  mesh.attach(2, 'new', 1, 2);
  const zero = mesh.switches[0]!;
  assert.ok(zero.place(1, 1, [A], mesh.trunks[0]![1]!, 0));
  zero.receive(client, frame(A, B, 1), 0);
  assert.deepEqual(mesh.take(), ['old:1']);
  assert.ok(zero.place(1, 2, [A], mesh.trunks[0]![2]!, 0));
  assert.equal(zero.place(1, 1, [A], mesh.trunks[0]![1]!, 0), false);
  zero.receive(client, frame(A, B, 2), 0);
  assert.deepEqual(mesh.take(), ['new:2']);
});

test('no VM takes a placed address of another by sending from it', () => {
  const mesh = new Mesh(1);
  const [only] = mesh.switches;
  const a = mesh.attach(0, 'a', 1, 1);
  const thief = mesh.attach(0, 'thief', 2, 1);
  only!.place(1, 1, [A], a, 0);
  only!.receive(thief, frame(MAC_BROADCAST, A, 1), 0);
  assert.deepEqual(mesh.take(), []);
  assert.equal(only!.counters.spoofed, 1);
});

test('with an uplink the LAN replaces the trunks', () => {
  const mesh = new Mesh(2);
  const a = mesh.attach(0, 'a', 1, 1);
  mesh.attach(1, 'b', 2, 1);
  const lan: number[] = [];
  const uplink = mesh.switches[0]!.addUplink({ deliver: (bytes) => lan.push(bytes[14]!) });
  mesh.switches[0]!.receive(a, frame(MAC_BROADCAST, A, 1), 0);
  assert.deepEqual([lan, mesh.take()], [[1], []]);
  mesh.switches[0]!.receive(uplink, frame(MAC_BROADCAST, B, 2), 0);
  assert.deepEqual([lan, mesh.take()], [[1], ['a:2']]);
});

test('whatever is sent: no frame comes back to its port and none arrives twice', () => {
  const act = fc.record({
    port: fc.nat(5),
    destination: fc.constantFrom(A, B, MAC_BROADCAST, 0x01005e000001, 0x525400000003),
    source: fc.constantFrom(A, B, 0x525400000003, MAC_BROADCAST),
    generation: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const mesh = new Mesh(3);
      const ports = [0, 1, 2, 3, 4, 5].map((index) =>
        mesh.attach(index % 3, `p${index}`, 1 + (index >> 1), 0),
      );
      for (const { port, destination, source, generation } of acts) {
        const from = ports[port]!;
        if (generation > from.generation) mesh.switches[port % 3]!.setGeneration(from, generation);
        mesh.switches[port % 3]!.receive(from, frame(destination, source, 9), 0);
        const arrived = mesh.take();
        assert.equal(new Set(arrived).size, arrived.length, 'a frame arrived twice');
        assert.ok(!arrived.includes(`p${port}:9`), 'a frame came back');
      }
    }),
  );
});

test('arbitrary bytes are forwarded or dropped, never more', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const mesh = new Mesh(2);
      mesh.switches[0]!.receive(mesh.attach(0, 'a', 1, 1), bytes, 0);
    }),
  );
});

test('learning is bounded', () => {
  const small = new Switch({ macsMax: 4 });
  const port = small.addPort(1, 1, { deliver() {} });
  let flooded = 0;
  const other = small.addPort(2, 1, { deliver: () => flooded++ });
  for (let mac = 0; mac < 1000; mac++) small.receive(port, frame(MAC_BROADCAST, A + mac), 0);
  flooded = 0;
  small.receive(other, frame(A + 999, B), 0);
  assert.equal(small.counters.flooded, 1001);
});
