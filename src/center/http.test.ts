/**
 * What HTTP promises beside the endpoints themselves: idempotency keys, versions, the stream of
 * events, metrics, health, and refusals in words.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { openEvents } from '../api/event-stream.ts';
import type { EventView } from '../api/views.ts';
import { centerName, readText } from '../api/wire.ts';
import type { UmbraError } from '../base/errors.ts';
import { until } from './cluster.fixture.ts';
import { InProcessCenter } from './in-process.fixture.ts';

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as UmbraError).code, expected, String(error));
  return true;
};

let center: InProcessCenter;
before(async () => {
  center = await InProcessCenter.start();
  center.addImage('tiny');
});
after(async () => {
  assert.deepEqual(center.bugs, []);
  await center.close();
});

describe('idempotency keys', () => {
  test('the same key and body give the same reply, once made', async () => {
    const client = center.client();
    const body = { name: 'once', image: 'tiny' };
    const options = { idempotencyKey: 'key-1' };
    const [a, b] = await Promise.all([
      client.call('createVm', { body }, options),
      client.call('createVm', { body: { image: 'tiny', name: 'once' } }, options),
    ]);
    assert.deepEqual(a, b);
    assert.deepEqual(await client.call('createVm', { body }, options), a);
    await assert.rejects(client.call('createVm', { body }), code('name-taken'));
    const other = client.call('createVm', { body: { ...body, cpus: 2 } }, options);
    await assert.rejects(other, code('idempotency-key-reused'));
    const replayed = await center.raw('/api/v1/vms', {
      ...{ method: 'POST', token: center.admin.token, body: JSON.stringify(body) },
      headers: { 'idempotency-key': 'key-1' },
    });
    assert.equal(replayed.headers['idempotent-replayed'], 'true');
  });

  test('keys belong to their caller and endpoint; a refusal is not kept', async () => {
    const client = center.client();
    const body = { name: 'twice', image: 'missing' };
    const options = { idempotencyKey: 'key-2' };
    await assert.rejects(client.call('createVm', { body }, options), code('image-unknown'));
    center.addImage('missing');
    await client.call('createVm', { body }, options);
    const token = await client.call('createJoinToken', { body: {} }, options);
    assert.deepEqual(await client.call('createJoinToken', { body: {} }, options), token);
    const other = center.client(await center.tokenOf('operator'));
    await assert.rejects(other.call('createVm', { body }, options), code('name-taken'));
    const odd = client.call('createVm', { body }, { idempotencyKey: 'with space' });
    await assert.rejects(odd, code('request-malformed'));
  });

  test('kept replies outlive a restart, and no secret in them can be read in the store', async () => {
    const input = { body: { name: 'kept', role: 'viewer' } } as const;
    const options = { idempotencyKey: 'key-3' };
    const made = await center.client().call('createApiToken', input, options);
    await center.stop();
    await center.start();
    assert.deepEqual(await center.client().call('createApiToken', input, options), made);
    const kept = center.center.cluster.store.all('replies');
    assert.ok(kept.length > 0);
    assert.doesNotMatch(JSON.stringify(kept), new RegExp(made.token));
  });
});

describe('versions of VMs', () => {
  test('a change by somebody who has not seen the last one is refused', async () => {
    const client = center.client();
    const made = await client.call('createVm', { body: { name: 'shared', image: 'tiny' } });
    assert.equal(made.version, 1);
    const params = { vm: 'shared' };
    const shown = await center.raw('/api/v1/vms/shared', { token: center.admin.token });
    assert.equal(shown.headers.etag, '"1"');
    const stop = (ifVersion: number) =>
      client.call('stopVm', { params, body: { how: 'power-off' } }, { ifVersion });
    await assert.rejects(stop(7), code('changed-meanwhile'));
    assert.equal((await stop(1)).version, 1, 'nothing was changed');
    // Another operator's wish.
    const { inventory } = center.center.cluster;
    inventory.putVm({ ...inventory.findVm('shared'), ftWanted: true });
    const late = client.call('deleteVm', { params }, { ifVersion: 1 });
    await assert.rejects(late, code('changed-meanwhile'));
    const again = await client.call('showVm', { params });
    assert.equal(again.version, 2);
    // Where it happens to be is nobody's wish.
    inventory.putVm({ ...inventory.findVm('shared'), host: 'somewhere' });
    assert.equal((await client.call('showVm', { params })).version, 2);
    const ask = (header: string) =>
      center.raw('/api/v1/vms/shared/stop', {
        ...{ method: 'POST', token: center.admin.token, body: '{"how":"power-off"}' },
        headers: { 'if-match': header },
      });
    assert.equal((await ask('"1"')).status, 412);
    assert.equal((await ask('W/"2"')).status, 412, 'a weak tag never matches');
    assert.equal((await ask('"1", "2"')).status, 200);
    assert.equal((await ask('*')).status, 200);
    assert.equal((await ask('2')).status, 400);
    await client.call('deleteVm', { params }, { ifVersion: 2 });
  });
});

describe('the stream of events', () => {
  const follow = (after: number, vm?: string) => {
    const seen: EventView[] = [];
    let ended: UmbraError | undefined;
    const stream = openEvents(center.client(), {
      after,
      ...(vm !== undefined && { vm }),
      onEvent: (event) => seen.push(event),
      onEnd: (why) => {
        ended = why;
      },
    });
    return { seen, stream, ended: () => ended };
  };

  test('the past first, then what happens, in order, each once; of one VM if asked', async () => {
    const { events } = center.center.cluster;
    center.center.cluster.store.transaction(() => {
      for (let index = 0; index < 1_200; index += 1) {
        events.add('vm-reset', `number ${index}`, { vm: index % 2 === 0 ? 'even' : 'odd' });
      }
    });
    const all = events.list(0, 10_000);
    const [whole, odd] = [follow(0), follow(0, 'odd')];
    await until('the past', () => (whole.seen.length >= all.length ? true : undefined));
    events.add('vm-reset', 'and now', { vm: 'odd' });
    await until('the new one', () => (whole.seen.at(-1)?.text === 'and now' ? true : undefined));
    await until('it of one VM', () => (odd.seen.at(-1)?.text === 'and now' ? true : undefined));
    assert.deepEqual(whole.seen, events.list(0, 10_000));
    assert.deepEqual(odd.seen, events.list(0, 10_000, 'odd'));
    whole.stream.close();
    odd.stream.close();
  });

  test('what a transaction takes back is never shown', async () => {
    const { events, store } = center.center.cluster;
    const [last] = events.list(0, 100_000).slice(-1);
    const { seen, stream } = follow(last!.sequence);
    assert.throws(() =>
      store.transaction(() => {
        events.add('vm-reset', 'never');
        center.center.cluster.findVm('nobody');
      }),
    );
    events.add('vm-reset', 'really');
    await until('an event', () => (seen.length > 0 ? true : undefined));
    assert.deepEqual(
      seen.map(({ text }) => text),
      ['really'],
    );
    stream.close();
  });

  test('credentials that are revoked end it; a malformed question is answered in words', async () => {
    const admin = center.client();
    const body = { name: 'watcher', role: 'viewer' } as const;
    const { token, info } = await admin.call('createApiToken', { body });
    let ended: UmbraError | undefined;
    let count = 0;
    openEvents(center.client(token), {
      after: 0,
      onEvent: () => {
        count += 1;
      },
      onEnd: (why) => {
        ended = why;
      },
    });
    await until('events', () => (count > 0 ? true : undefined));
    await admin.call('revokeApiToken', { params: { token: info.id } });
    await until('the end', () => ended);
    assert.equal(ended?.code, 'credentials-refused');
    const wrong = follow(Number.NaN);
    await until('the refusal', wrong.ended);
    assert.equal(wrong.ended()?.code, 'request-malformed');
    const plain = await center.raw('/api/v1/events/stream', { token: center.admin.token });
    assert.equal(plain.json['code'], 'upgrade-required');
  });

  test('a reader goes on behind the last event when the center was restarted', async () => {
    const port = new URL(center.url).port;
    const { seen, stream } = follow(0);
    await until('events', () => (seen.length > 0 ? true : undefined));
    await center.center.close();
    await center.start({ listen: `127.0.0.1:${port}` });
    center.center.cluster.events.add('vm-reset', 'after the restart');
    await until('the next', () => (seen.at(-1)?.text === 'after the restart' ? true : undefined));
    const numbers = seen.map(({ sequence }) => sequence);
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    );
    stream.close();
  });
});

describe('metrics', () => {
  test('in the exposition format, for viewers', async () => {
    const refused = await center.raw('/metrics');
    assert.equal(refused.json['code'], 'credentials-missing');
    await center.client().call('createVm', { body: { name: 'measured', image: 'tiny' } });
    await center.raw('/api/v1/sessions', {
      ...{ method: 'POST', body: '{"user":"nobody","password":"x"}' },
    });
    const { status, headers, text } = await center.raw('/metrics', {
      token: await center.tokenOf('viewer'),
    });
    assert.equal(status, 200);
    assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
    const sample =
      /^[a-z_0-9]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? -?(\d+(\.\d+)?(e[+-]?\d+)?|\+Inf)$/;
    for (const line of text.trimEnd().split('\n')) {
      assert.match(line, line.startsWith('#') ? /^# (HELP|TYPE) [a-z_0-9]+ \S/ : sample);
    }
    for (const line of [
      'umbra_hosts{kind="host",state="connected"} 0',
      'umbra_vm_protection{vm="measured",state="notConfigured"} 1',
      'umbra_vm_protection{vm="measured",state="running"} 0',
      'umbra_logins_refused_total{reason="wrong"} 1',
      'umbra_tasks{state="running"} 0',
      'umbra_http_requests_total{route="/vms",method="POST",status="200"} 1',
      'umbra_http_request_duration_seconds_count{route="/vms",method="POST"} 1',
      'umbra_http_request_duration_seconds_bucket{route="/vms",method="POST",le="+Inf"} 1',
    ]) {
      assert.ok(text.split('\n').includes(line), `${line} in ${text}`);
    }
    assert.match(text, /^process_resident_memory_bytes \d+$/m);
    assert.doesNotMatch(text, /route="[^"]*measured/, 'no series for each VM');
  });

  test('open to anybody only if the center was told so', async () => {
    const open = await InProcessCenter.start({ metricsOpen: true });
    try {
      assert.equal((await open.raw('/metrics')).status, 200);
      assert.equal((await open.raw('/api/v1/vms')).status, 401);
    } finally {
      await open.close();
    }
  });
});

describe('tasks', () => {
  test('are shown while they run, and cancelled when asked to', async () => {
    const client = center.client();
    const [last] = center.center.cluster.events.list(0, 10_000).slice(-1);
    const { id, done } = center.center.cluster.tasks.run(
      { kind: 'long', host: 'a', by: 'test' },
      async (task) => {
        task.progress(0.5, 'half of it');
        await sleep(60_000, undefined, { signal: task.signal });
      },
    );
    const running = await client.call('showTask', { params: { task: id } });
    assert.deepEqual(
      [running.state, running.progress, running.message, running.host, running.vm],
      ['running', 0.5, 'half of it', 'a', null],
    );
    const viewer = center.client(await center.tokenOf('viewer'));
    const params = { task: id };
    await assert.rejects(viewer.call('cancelTask', { params }), code('access-denied'));
    await client.call('cancelTask', { params });
    await assert.rejects(done, code('task-cancelled'));
    const ended = await client.call('listTasks', { query: { state: 'cancelled', limit: 1 } });
    assert.deepEqual([ended[0]?.id, ended[0]?.error?.code], [id, 'task-cancelled']);
    await assert.rejects(client.call('cancelTask', { params }), code('task-ended'));
    const events = await client.call('listEvents', { query: { after: last!.sequence } });
    const told = events.findLast(({ kind }) => kind === 'task-ended');
    assert.equal(told?.text, 'long of a was cancelled: cancelled by admin.json');
  });
});

describe('protection of a VM that is off', () => {
  test('is turned off and on without any host', async () => {
    const client = center.client();
    const params = { vm: 'unprotected' };
    await client.call('createVm', { body: { name: params.vm, image: 'tiny', ft: true } });
    assert.equal((await client.call('turnFtOff', { params })).state, 'notConfigured');
    assert.equal((await client.call('showVm', { params })).version, 2);
    await assert.rejects(client.call('turnFtOn', { params }), code('ft-precheck-failed'));
  });
});

describe('the description of the API', () => {
  test('is there for anybody, as a document and for reading, and asks nothing of others', async () => {
    const document = await center.stranger().call('openApi');
    assert.equal(document['openapi'], '3.1.0');
    const { status, headers, text } = await center.raw('/api/reference');
    assert.equal(status, 200);
    assert.match(String(headers['content-type']), /^text\/html/);
    assert.match(String(headers['content-security-policy']), /default-src 'none'/);
    for (const name of ['createVm', 'listAudit', 'idempotency-key-reused']) {
      assert.ok(text.includes(name), name);
    }
    assert.doesNotMatch(text, /<script|https?:\/\/|src=/);
    const targets = [...text.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id!);
    for (const id of targets) assert.ok(text.includes(`id="${id}"`), id);
  });

  test('joining without a token that was made here is refused by its row', async () => {
    const body = {
      ...{ token: 'x', kind: 'host' as const, name: 'a', addresses: [] },
      certificateRequest: 'nonsense',
    };
    const asked = center.stranger().call('join', { body });
    await assert.rejects(asked, code('token-unknown'));
  });
});

describe('health', () => {
  test('live and ready, for anybody', async () => {
    const stranger = center.stranger();
    assert.deepEqual(await stranger.call('healthLive'), { live: true });
    assert.deepEqual(await stranger.call('healthReady'), { ready: true, epoch: 1 });
    assert.equal((await stranger.call('health')).epoch, 1);
  });

  test('alive but not ready while the store takes no writes', async () => {
    const { store } = center.center.cluster;
    const { settled } = store;
    store.settled = () => Promise.reject(new Error('another center leads'));
    try {
      const ready = await center.raw('/api/v1/health/ready');
      assert.deepEqual([ready.status, ready.json['code']], [503, 'center-not-ready']);
    } finally {
      store.settled = settled;
    }
    assert.equal((await center.raw('/api/v1/health/live')).status, 200);
  });
});

describe('refusals in words', () => {
  const token = () => center.admin.token;

  test('methods, types, sizes, paths', async () => {
    const cases = [
      ['/api/v1/vms', { method: 'PUT', body: '{}' }, 405, 'method-not-allowed'],
      ['/api/v1/vms', { method: 'PATCH', body: 'x'.repeat(400_000) }, 405, 'method-not-allowed'],
      ['/api/v1/vms', { method: 'POST', body: 'x'.repeat(300_000) }, 413, 'body-too-large'],
      ['/api/v1/vms', { method: 'POST', body: '{' }, 400, 'request-malformed'],
      ['/api/v1/vms', { method: 'POST', body: '{"__proto__":{}}' }, 400, 'request-malformed'],
      ['/api/v1/vms/%zz', {}, 400, 'request-malformed'],
      [`/api/v1/vms/${'v'.repeat(301)}`, {}, 414, 'path-too-long'],
      ['/api/v1/vms/..%2f..%2fetc', {}, 404, 'vm-unknown'],
      ['/api/v2/vms', {}, 404, 'endpoint-unknown'],
      ['/api/v1/events?limit=many', {}, 400, 'request-malformed'],
      ['/api/v1/events?vm=a&vm=b', {}, 400, 'request-malformed'],
    ] as const;
    for (const [path, request, status, expected] of cases) {
      const reply = await center.raw(path, { ...request, token: token() });
      assert.deepEqual([reply.status, reply.json['code']], [status, expected], path);
      assert.match(String(reply.headers['content-type']), /^application\/problem\+json/, path);
    }
    const put = await center.raw('/api/v1/vms', { method: 'PUT' });
    assert.equal(put.headers.allow, 'GET, POST');
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      const headers = { 'content-type': type };
      const sent = { method: 'POST', body: 'a=b', token: token(), headers };
      assert.equal((await center.raw('/api/v1/vms', sent)).json['code'], 'media-type-unsupported');
    }
    const large = { 'x-large': 'x'.repeat(20_000) };
    const headers = await center.raw('/api/v1/health', { headers: large });
    assert.deepEqual([headers.status, headers.json['code']], [431, 'headers-too-large']);
  });

  test('what is no HTTP', async () => {
    const { port } = new URL(center.url);
    const socket = connect({ port: Number(port), ca: center.admin.ca, servername: centerName });
    socket.write('this is not HTTP\r\n\r\n');
    const text = await readText(socket);
    assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.equal(JSON.parse(text.split('\r\n\r\n')[1]!).code, 'request-malformed');
  });
});
