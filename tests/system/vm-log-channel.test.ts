/**
 * The log channel between two VM processes: a link that only flaps, and peers that should not be
 * there or do not keep to the protocol. None of them costs more than its own connection.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { TestAuthority } from '../../src/host/certificates.fixture.ts';
import { messageBytesMax } from '../../src/host/vm/log-channel.ts';
import { decodeMessage, encodeMessage } from '../../src/lockstep/messages.ts';
import { temporaryFolder } from './umbra.fixture.ts';
import { pause, TestHosts, type TestVm, until } from './vm-hosts.fixture.ts';
import { Cable, framed, Impostor, say } from './vm-wire.fixture.ts';

test('a log channel that only flaps resumes in the same generation', async () => {
  const hosts = await TestHosts.start();
  const primary = await hosts.live();
  const cable = await Cable.to(primary.status!.logPort!);
  try {
    const shadow = hosts.shadow(primary, cable.port);
    await hosts.protected(primary);
    const { generation } = hosts.arbiter.entry.record;
    for (let flap = 1; flap <= 3; flap++) {
      const frames = hosts.a.frames.length;
      cable.cut();
      await pause(100);
      cable.mend();
      await until('the link is resumed', () => resumed(primary) === flap);
      await until('outputs are released', () => hosts.a.frames.length > frames + 20);
      await hosts.protected(primary);
    }
    assert.equal(hosts.arbiter.entry.record.generation, generation);
    assert.equal(shadow.status!.role, 'shadow');
    assert.equal(primary.reported('need-shadow'), undefined);
    hosts.checkConsole();
  } finally {
    cable.close();
    await hosts.close();
  }
});

const resumed = (vm: TestVm): number =>
  vm.reports.filter(({ kind }) => kind === 'link-resumed').length;

test('a primary whose log link alone is cut is preferred', async () => {
  const hosts = await TestHosts.start();
  const primary = await hosts.live();
  const cable = await Cable.to(primary.status!.logPort!);
  try {
    const shadow = hosts.shadow(primary, cable.port);
    await hosts.protected(primary);
    cable.cut();
    const { kind } = await shadow.ended();
    assert.equal(kind, 'lost-claim');
    assert.equal(primary.status!.role, 'live');
    assert.equal(hosts.arbiter.entry.record.eligibleShadow, undefined);
    const frames = hosts.a.frames.length;
    await until('it goes on alone', () => hosts.a.frames.length > frames + 20);
    assert.equal(hosts.b.frames.length, 0);
  } finally {
    cable.close();
    await hosts.close();
  }
});

test('peers of a protected pair', async (t) => {
  const folder = temporaryFolder();
  const hosts = await TestHosts.start();
  const primary = await hosts.live();
  const impostor = await Impostor.between(
    hosts.a.credentials,
    hosts.b.credentials,
    primary.status!.logPort!,
  );
  const shadow = hosts.shadow(primary, impostor.port);
  const port = primary.status!.logPort!;
  const { generation } = await until('the pair is protected', () =>
    primary.status!.ftState === 'running' ? hosts.arbiter.entry.record : undefined,
  );
  const hello = (version: number): Buffer => {
    const versions = { versionMin: version, versionMax: version };
    const who = { vm: hosts.spec.id, host: 'b', process: 'stranger', received: undefined };
    const body = { ...who, configuration: new Uint8Array(16) };
    return framed(encodeMessage({ kind: 'hello', ...versions, body }));
  };
  /** The connection is ended for this reason, and the pair has not noticed. */
  const survives = async (vm: TestVm, reason: RegExp): Promise<void> => {
    await until(`the log of ${vm.host.id} says ${reason}`, () => reason.test(vm.log));
    const frames = hosts.a.frames.length;
    await until('outputs are released', () => hosts.a.frames.length > frames + 20);
    assert.equal(primary.status!.ftState, 'running');
    assert.equal(hosts.arbiter.entry.record.generation, generation);
    assert.ok(vm.log.split('\n').length < 12, `a short log:\n${vm.log}`);
  };

  await t.test('a certificate of another authority', async () => {
    const stranger = await (await TestAuthority.create(folder.path)).issue('b');
    await say(stranger, port, hello(1));
    await survives(primary, /b is refused: its certificate is not (one )?of this cluster/);
  });
  await t.test('a host other than the chosen one', async () => {
    const other = await hosts.authority.issue('c');
    await say(other, port, hello(1));
    await survives(primary, /c is refused: the shadow is to be on b/);
  });
  await t.test('no host at all connects to a shadow', async () => {
    await say(hosts.a.credentials, shadow.status!.logPort!, hello(1));
    await survives(shadow, /a is refused: this copy is not live/);
  });
  await t.test('a version that nobody speaks any more', async () => {
    const heard = await say(hosts.b.credentials, port, hello(0));
    const answer = decodeMessage(heard.subarray(4));
    assert.ok(answer.kind === 'refuse' && answer.code === 'version', JSON.stringify(answer));
    await survives(primary, /the connection with b ends: the shadow speaks protocol 0 to 0/);
  });
  await t.test('another configuration of the machine', async () => {
    await say(hosts.b.credentials, port, hello(1));
    await survives(primary, /ends: the two machines are configured differently/);
  });
  await t.test('a message beyond the bound', async () => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(messageBytesMax + 1);
    await say(hosts.b.credentials, port, length);
    await survives(primary, /the connection with b ends: a message of 16777217 bytes/);
  });
  await t.test('bytes that are no message', async () => {
    await say(hosts.b.credentials, port, framed(Buffer.from([250, 1, 2, 3])));
    await survives(primary, /the connection with b ends: /);
  });
  await t.test('a malformed batch of a primary', async () => {
    const before = resumed(primary);
    impostor.say(
      encodeMessage({
        kind: 'batch',
        firstPosition: 1_000_000,
        releasedPosition: 0,
        entries: new Uint8Array(0),
      }),
    );
    await until('the shadow comes back', () => resumed(primary) > before);
    await survives(shadow, /the connection with a ends: a hole before entry 1000000/);
  });
  await t.test('entries that cannot be decoded', async () => {
    const before = resumed(primary);
    const entries = new Uint8Array(40).fill(0xff);
    impostor.say(encodeMessage({ kind: 'batch', firstPosition: 1, releasedPosition: 0, entries }));
    await until('the shadow comes back', () => resumed(primary) > before);
    await survives(shadow, /the connection with a ends: /);
  });
  impostor.close();
  await hosts.close();
  folder.remove();
});
