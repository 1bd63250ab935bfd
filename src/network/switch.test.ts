import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { ETHERTYPE_IPV4, FRAME_BYTES_MAX, writeEthernet } from './frames/ethernet.ts';
import { addTag, isTagged } from './frames/vlan.ts';
import { type Port, portGeneration, Switch } from './switch.ts';
import { MAC_BROADCAST, type Mac } from './wire.ts';

const A: Mac = 0x525400000001;
const B: Mac = 0x525400000002;
/** A station on the LAN that is no VM. */
const LAPTOP: Mac = 0x3c5200000001;

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

  attach(host: number, name: string, vm: number, generation: number, vlan = 0): Port {
    const deliver = (bytes: Uint8Array): void => {
      assert.ok(!isTagged(bytes), 'guests get plain frames');
      this.received.push(`${name}:${bytes[14]}`);
    };
    return this.switches[host]!.addPort(vm, generation, { deliver }, vlan);
  }

  take(): string[] {
    return this.received.splice(0).sort();
  }
}

/** A LAN as it is at its worst: a hub, from which each frame comes to everybody else. */
class Lan {
  readonly #uplinks: { readonly at: Switch; readonly port: Port }[] = [];
  #frames = 0;

  join(at: Switch): void {
    const port: Port = at.addUplink({ deliver: (bytes) => this.send(bytes, port) });
    this.#uplinks.push({ at, port });
  }

  send(bytes: Uint8Array, from?: Port): void {
    this.#frames++;
    for (const { at, port } of this.#uplinks) if (port !== from) at.receive(port, bytes, 0);
  }

  /** How many frames it has carried since the last call. */
  take(): number {
    const frames = this.#frames;
    this.#frames = 0;
    return frames;
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

test('an uplink and trunks are both used, and frames never pass between them', () => {
  const mesh = new Mesh(2);
  const a = mesh.attach(0, 'a', 1, 1);
  const b = mesh.attach(1, 'b', 2, 1);
  const lan: number[] = [];
  const uplink = mesh.switches[0]!.addUplink({ deliver: (bytes) => lan.push(bytes[14]!) });
  mesh.switches[0]!.receive(a, frame(MAC_BROADCAST, A, 1), 0);
  assert.deepEqual([lan.splice(0), mesh.take()], [[1], ['b:1']]);
  mesh.switches[0]!.receive(uplink, frame(MAC_BROADCAST, LAPTOP, 2), 0);
  assert.deepEqual([lan.splice(0), mesh.take()], [[], ['a:2']], 'from the LAN to local ports');
  mesh.switches[1]!.receive(b, frame(LAPTOP, B, 3), 0);
  assert.deepEqual([lan.splice(0), mesh.take()], [[], []], 'from a trunk not to the LAN');
  mesh.switches[0]!.receive(a, frame(LAPTOP, A, 4), 0);
  assert.deepEqual([lan.splice(0), mesh.take()], [[4], []], 'learned on the LAN');
});

test('nobody on the LAN speaks for a VM, whose own frames come by its trunk', () => {
  const mesh = new Mesh(2);
  const [zero] = mesh.switches;
  const a = mesh.attach(0, 'a', 1, 1);
  mesh.attach(0, 'c', 3, 1);
  const uplink = zero!.addUplink({ deliver() {} });
  zero!.place(1, 1, [A], a, 0);
  zero!.place(2, 1, [B], mesh.trunks[0]![1]!, 0);
  zero!.receive(uplink, frame(MAC_BROADCAST, A, 1), 0);
  zero!.receive(uplink, frame(MAC_BROADCAST, B, 2), 0);
  assert.deepEqual(mesh.take(), []);
  assert.deepEqual([zero!.counters.spoofed, zero!.counters.twice], [1, 1]);
  zero!.remove(mesh.trunks[0]![1]!);
  zero!.receive(uplink, frame(MAC_BROADCAST, B, 3), 0);
  assert.deepEqual(mesh.take(), ['a:3', 'c:3'], 'without its trunk the LAN serves');
});

test('a VLAN is on the wire with its tag, and sees nothing but itself', () => {
  const mesh = new Mesh(2);
  const lan: Uint8Array[] = [];
  const uplink = mesh.switches[0]!.addUplink({ deliver: (bytes) => lan.push(bytes) });
  const five = mesh.attach(0, 'five', 1, 1, 5);
  mesh.attach(0, 'five too', 2, 1, 5);
  mesh.attach(0, 'six', 3, 1, 6);
  mesh.attach(0, 'none', 4, 1);
  mesh.attach(1, 'far five', 5, 1, 5);
  mesh.attach(1, 'far none', 6, 1);
  const plain = frame(MAC_BROADCAST, A, 1);
  mesh.switches[0]!.receive(five, plain, 0);
  assert.deepEqual(mesh.take(), ['far five:1', 'five too:1']);
  assert.deepEqual(lan, [addTag(plain, 5)]);
  mesh.switches[0]!.receive(uplink, addTag(frame(MAC_BROADCAST, LAPTOP, 2), 6), 0);
  mesh.switches[0]!.receive(uplink, addTag(frame(MAC_BROADCAST, LAPTOP, 3), 0), 0);
  assert.deepEqual(mesh.take(), ['none:3', 'six:2'], 'a tag with id 0 is none');
  lan.length = 0;
  mesh.switches[0]!.receive(five, frame(LAPTOP, A, 4), 0);
  assert.equal(mesh.take().length, 2, 'where a station is in one VLAN says nothing of another');
  const reserved = addTag(frame(MAC_BROADCAST, LAPTOP, 5), 4095);
  mesh.switches[0]!.receive(uplink, reserved, 0);
  mesh.switches[0]!.receive(five, addTag(frame(MAC_BROADCAST, A, 6), 6), 0);
  assert.deepEqual(mesh.take(), [], 'no guest chooses its VLAN');
  assert.equal(mesh.switches[0]!.counters.mistagged, 2);
});

test('a placed address in another VLAN is not reached', () => {
  const mesh = new Mesh(2);
  const five = mesh.attach(0, 'five', 1, 1, 5);
  const none = mesh.attach(1, 'none', 2, 1);
  mesh.switches[1]!.place(2, 1, [B], none, 0);
  mesh.switches[0]!.place(2, 1, [B], mesh.trunks[0]![1]!, 0);
  mesh.switches[0]!.receive(five, frame(B, A, 1), 0);
  assert.deepEqual(mesh.take(), []);
});

test('a frame that a tag would make too long for a trunk is dropped', () => {
  const mesh = new Mesh(2);
  const five = mesh.attach(0, 'five', 1, 1, 5);
  mesh.attach(1, 'far', 2, 1, 5);
  const long = new Uint8Array(FRAME_BYTES_MAX - 3);
  long.set(frame(MAC_BROADCAST, A, 1));
  mesh.switches[0]!.receive(five, long, 0);
  assert.deepEqual([mesh.take(), mesh.switches[0]!.counters.malformed], [[], 1]);
  mesh.switches[0]!.receive(five, long.subarray(0, -1), 0);
  assert.deepEqual(mesh.take(), ['far:1']);
});

test('any hosts on a LAN, any trunks between them: a broadcast circulates nowhere', () => {
  const place = fc.record({ host: fc.nat(3), vlan: fc.constantFrom(0, 5, 6) });
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
      fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }),
      fc.array(place, { minLength: 1, maxLength: 8 }),
      (onLan, cut, vms) => {
        const lan = new Lan();
        const mesh = new Mesh(4);
        const joined = (a: number, b: number): boolean =>
          a !== b && !cut[4 * Math.min(a, b) + Math.max(a, b)];
        for (let a = 0; a < 4; a++) {
          for (let b = 0; b < 4; b++) {
            if (a !== b && !joined(a, b)) mesh.switches[a]!.remove(mesh.trunks[a]![b]!);
          }
        }
        mesh.switches.forEach((one, host) => {
          if (onLan[host]) lan.join(one);
        });
        const ports = vms.map(({ host, vlan }, index) =>
          mesh.attach(host, `vm${index}`, index + 1, 1, vlan),
        );
        const mac = (index: number): Mac => A + index;
        vms.forEach(({ host }, index) => {
          mesh.switches.forEach((one, other) => {
            const port = other === host ? ports[index]! : mesh.trunks[other]![host]!;
            if (other === host || joined(other, host))
              one.place(index + 1, 1, [mac(index)], port, 0);
          });
        });
        for (const [index, { host, vlan }] of vms.entries()) {
          mesh.switches[host]!.receive(ports[index]!, frame(MAC_BROADCAST, mac(index), 9), 0);
          const expected = vms.flatMap((vm, other) => {
            const together = vm.host === host || joined(vm.host, host);
            const byLan = onLan[vm.host] && onLan[host];
            const hears = other !== index && vm.vlan === vlan && (together || byLan);
            return hears ? [`vm${other}:9`] : [];
          });
          assert.deepEqual(mesh.take(), expected.sort(), `from VM ${index}`);
          assert.equal(lan.take(), onLan[host] ? 1 : 0, 'times on the LAN');
        }
        for (const vlan of [0, 5, 6]) {
          const plain = frame(MAC_BROADCAST, LAPTOP, 8);
          lan.send(vlan === 0 ? plain : addTag(plain, vlan));
          const expected = vms.flatMap((vm, other) =>
            onLan[vm.host] && vm.vlan === vlan ? [`vm${other}:8`] : [],
          );
          assert.deepEqual(mesh.take(), expected.sort(), `from the LAN in VLAN ${vlan}`);
          assert.equal(lan.take(), 1, 'nothing comes back to the LAN');
        }
      },
    ),
  );
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
