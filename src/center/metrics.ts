/**
 * `GET /metrics`, for Prometheus: the cluster as it is at this moment, and what this center has done
 * since its start. For viewers, or for anybody with `--metrics-open`.
 */
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { taskStates } from '../api/tasks.ts';
import { FtStatusView, HostView, VmView } from '../api/views.ts';
import { apiPrefix } from '../api/wire.ts';
import { admit, callerOf } from './callers.ts';
import type { Cluster } from './cluster.ts';
import { Counter, exposition, expositionType, type Family, Histogram } from './exposition.ts';
import type { Context } from './handler.ts';
import { hostView, vmView } from './views.ts';

const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function addMetrics(server: FastifyInstance, context: Context, isOpen: boolean): void {
  const requests = new Counter();
  const durations = new Histogram(secondsBounds);
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  server.addHook('onClose', async () => {
    delay.disable();
  });
  server.addHook('onResponse', async (request, reply) => {
    // The pattern, not the path: names of VMs would make a series each.
    const route = (request.routeOptions.url ?? 'none').replace(apiPrefix, '');
    const { method } = request;
    requests.add({ route, method, status: reply.statusCode });
    durations.observe({ route, method }, reply.elapsedTime / 1000);
  });
  server.get('/metrics', { exposeHeadRoute: false }, async (request, reply) => {
    const access = isOpen ? 'anyone' : 'viewer';
    admit(callerOf(context.cluster.daemonConnections, context.people, request, access), access);
    const families = [
      ...clusterFamilies(context.cluster),
      ...centerFamilies(context),
      counter('umbra_http_requests_total', 'Requests by route and status.', requests.samples),
      {
        name: 'umbra_http_request_duration_seconds',
        type: 'histogram' as const,
        help: 'From the head of a request to the end of its reply.',
        samples: durations.samples,
      },
      ...processFamilies(delay.percentile(99) / 1e9),
    ];
    return reply.type(expositionType).send(exposition(families));
  });
}

function gauge(name: string, help: string, samples: Family['samples']): Family {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: Family['samples']): Family {
  return { name, type: 'counter', help, samples };
}

function clusterFamilies(cluster: Cluster): Family[] {
  const hosts = cluster.inventory.daemons.map((daemon) => hostView(cluster, daemon));
  const vms = cluster.inventory.vms.map((vm) => vmView(cluster, vm));
  const states = valuesOf(HostView.properties.state);
  const kinds = valuesOf(HostView.properties.kind);
  const protections = valuesOf(FtStatusView.properties.state);
  const ofVm = (value: (vm: VmView) => number) =>
    vms.map((vm) => ({ labels: { vm: vm.name }, value: value(vm) }));
  return [
    gauge(
      'umbra_hosts',
      'Hosts and gateways by state.',
      kinds.flatMap((kind) =>
        states.map((state) => ({
          labels: { kind, state },
          value: hosts.filter((host) => host.kind === kind && host.state === state).length,
        })),
      ),
    ),
    gauge(
      'umbra_host_memory_free_bytes',
      'Memory that is not set aside for VMs.',
      hosts
        .filter(({ kind }) => kind === 'host')
        .map(({ name, memoryFreeBytes }) => ({ labels: { host: name }, value: memoryFreeBytes })),
    ),
    gauge(
      'umbra_vms',
      'VMs by power state.',
      valuesOf(VmView.properties.state).map((state) => ({
        labels: { state },
        value: vms.filter((vm) => vm.state === state).length,
      })),
    ),
    gauge(
      'umbra_vm_protection',
      'State of protection: 1 for the one that holds.',
      vms.flatMap(({ name, ft }) =>
        protections.map((state) => ({
          labels: { vm: name, state },
          value: ft.state === state ? 1 : 0,
        })),
      ),
    ),
    gauge(
      'umbra_vm_lag_seconds',
      'How far the shadow is behind its primary.',
      vms.flatMap(({ name, ft }) =>
        ft.shadow === null ? [] : [{ labels: { vm: name }, value: ft.shadow.lagMs / 1000 }],
      ),
    ),
    counter(
      'umbra_vm_log_bytes_total',
      'Log that the live copy has sent since it is live.',
      ofVm(({ ft }) => ft.logBytesSent),
    ),
    counter(
      'umbra_vm_fingerprints_total',
      'Fingerprints that the shadow has compared.',
      ofVm(({ ft }) => ft.fingerprintsCompared),
    ),
    counter(
      'umbra_vm_divergences_total',
      'Divergences between the two copies.',
      ofVm(({ ft }) => ft.divergences),
    ),
    gauge(
      'umbra_tasks',
      'Tasks by state; ended ones are kept for a while.',
      taskStates.map((state) => ({
        labels: { state },
        value: cluster.tasks.list({ state }).length,
      })),
    ),
  ];
}

function centerFamilies({ cluster, people, version }: Context): Family[] {
  const { counts } = cluster.events;
  const { wrong, throttled } = people.loginsRefused;
  return [
    gauge('umbra_info', 'Version.', [{ labels: { version }, value: 1 }]),
    gauge('umbra_arbiter_epoch', "The arbiter's epoch.", [{ value: cluster.arbiter.epoch }]),
    counter('umbra_failovers_total', 'Shadows that went live, tests included, since the start.', [
      { value: counts.get('ft-primary-failover') ?? 0 },
    ]),
    counter('umbra_divergences_total', 'Divergences reported since the start.', [
      { value: counts.get('ft-divergence') ?? 0 },
    ]),
    counter(
      'umbra_events_total',
      'Events by kind since the start.',
      [...counts].map(([kind, value]) => ({ labels: { kind }, value })),
    ),
    counter('umbra_logins_refused_total', 'Logins that were refused since the start.', [
      { labels: { reason: 'wrong' }, value: wrong },
      { labels: { reason: 'throttled' }, value: throttled },
    ]),
  ];
}

function processFamilies(delaySeconds: number): Family[] {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const started = Date.now() / 1000 - process.uptime();
  return [
    counter('process_cpu_seconds_total', 'Processor time.', [{ value: (user + system) / 1e6 }]),
    gauge('process_resident_memory_bytes', 'Resident memory.', [{ value: rss }]),
    gauge('process_start_time_seconds', 'Start, Unix time.', [{ value: started }]),
    gauge('process_open_fds', 'Open file descriptors.', openFiles()),
    gauge('nodejs_heap_used_bytes', 'JavaScript heap in use.', [{ value: heapUsed }]),
    gauge('nodejs_eventloop_delay_p99_seconds', 'Delay of the event loop, 99th percentile.', [
      { value: Number.isFinite(delaySeconds) ? delaySeconds : 0 },
    ]),
  ];
}

function openFiles(): Family['samples'] {
  try {
    return [{ value: readdirSync('/proc/self/fd').length }];
  } catch {
    return [];
  }
}

const valuesOf = ({ enum: values }: { readonly enum: readonly string[] }): readonly string[] =>
  values;
