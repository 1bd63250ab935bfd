/**
 * What viewers of the console see, as it changes (api/live.ts).
 *
 *   cluster --views, once a second and when something happens--> compared with what was sent last
 *     --> one text for all viewers
 *
 * However many look, the views are made once; nobody looks: not at all. A viewer that is too slow to
 * read is left out until it has, and then gets the whole state again.
 */
import type { WebSocket } from 'ws';
import {
  type CapacityView,
  type HostFigures,
  type LiveChanges,
  type LiveState,
  type LiveTable,
  liveTables,
  type VmFigures,
} from '../api/live.ts';
import type { VmView } from '../api/views.ts';
import type { Cluster } from './cluster.ts';
import { figuresOf, hostFiguresOf } from './figures.ts';
import { alarmView } from './lifecycle-handlers.ts';
import { hostView, vmView } from './views.ts';

const lookMs = 1_000;
/** Events come in bursts: one look for all of a burst. */
const soonMs = 50;
const unsentBytesMax = 4 * 2 ** 20;
/** Those that run, and the last that ended. */
const tasksMax = 200;

type Views = Pick<LiveState, LiveTable>;

interface Look extends Views {
  readonly vmFigures: readonly VmFigures[];
  readonly hostFigures: readonly HostFigures[];
  readonly capacity: CapacityView;
}

export class LiveViews {
  readonly #cluster: Cluster;
  readonly #version: string;
  /** Whether each one has all that was sent so far. */
  readonly #viewers = new Map<WebSocket, boolean>();
  /** What was sent last, as text to compare: by table and id. */
  readonly #sent = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #stop = (): void => {};

  constructor(cluster: Cluster, version: string) {
    this.#cluster = cluster;
    this.#version = version;
  }

  /** Shows this viewer the state, and from then on what changes. */
  add(socket: WebSocket): void {
    if (this.#viewers.size === 0) this.#begin();
    this.#viewers.set(socket, false);
    socket.on('close', () => {
      this.#viewers.delete(socket);
      if (this.#viewers.size === 0) this.#end();
    });
    this.#look();
  }

  #begin(): void {
    this.#timer = setInterval(() => this.#look(), lookMs);
    this.#stop = this.#cluster.events.watch(() => {
      this.#soon ??= setTimeout(() => this.#look(), soonMs);
    });
  }

  #end(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#stop();
    this.#sent.clear();
  }

  #look(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    // Only the center that leads knows; viewers ask again.
    if (!this.#cluster.leads) {
      for (const socket of this.#viewers.keys()) socket.close(1012, 'ask again');
      return;
    }
    const look = this.#seen();
    const changes = JSON.stringify(this.#changes(look));
    let state: string | undefined;
    for (const [socket, isCurrent] of this.#viewers) {
      if (socket.readyState !== socket.OPEN) continue;
      if (socket.bufferedAmount > unsentBytesMax) {
        this.#viewers.set(socket, false);
        continue;
      }
      if (!isCurrent) state ??= JSON.stringify(this.#state(look));
      socket.send(isCurrent ? changes : state!);
      this.#viewers.set(socket, true);
    }
  }

  #seen(): Look {
    const { inventory, alarms, tasks } = this.#cluster;
    const vms = inventory.vms.map((vm) => vmView(this.#cluster, vm));
    const shortage = this.#cluster.shortage();
    const vmFigures = vms.map((view) => figuresOf(this.#cluster, view));
    return {
      hosts: inventory.daemons.map((daemon) => hostView(this.#cluster, daemon)),
      vms: vms.map(steady),
      alarms: alarms.list().map(alarmView),
      tasks: tasks.list({ limit: tasksMax }),
      vmFigures,
      hostFigures: hostFiguresOf(this.#cluster),
      capacity: {
        shortage: shortage === undefined ? null : { ...shortage, vms: [...shortage.vms] },
      },
    };
  }

  #state(look: Look): LiveState {
    const { epoch } = this.#cluster.arbiter;
    const { vmFigures, hostFigures, ...rest } = look;
    return {
      ...{ kind: 'state', version: this.#version, epoch },
      ...rest,
      ...{ vmFigures: [...vmFigures], hostFigures: [...hostFigures] },
      unixMs: Date.now(),
    };
  }

  #changes(look: Look): LiveChanges {
    const gone = new Set(this.#sent.keys());
    const fresh = <T>(table: string, rows: readonly T[], idOf: (row: T) => string): T[] =>
      rows.filter((row) => {
        const key = `${table} ${idOf(row)}`;
        gone.delete(key);
        return this.#isNew(key, row);
      });
    const changed = {
      hosts: fresh('hosts', look.hosts, ({ id }) => id),
      vms: fresh('vms', look.vms, ({ id }) => id),
      alarms: fresh('alarms', look.alarms, ({ id }) => id),
      tasks: fresh('tasks', look.tasks, ({ id }) => id),
      vmFigures: fresh('vmFigures', look.vmFigures, ({ vm }) => vm),
      hostFigures: fresh('hostFigures', look.hostFigures, ({ host }) => host),
    };
    gone.delete('capacity');
    for (const key of gone) this.#sent.delete(key);
    return {
      kind: 'changes',
      ...changed,
      gone: [...gone].flatMap((key) => {
        const [table, id] = key.split(' ', 2) as [LiveTable, string];
        return liveTables.includes(table) ? [{ table, id }] : [];
      }),
      ...(this.#isNew('capacity', look.capacity) && { capacity: look.capacity }),
      unixMs: Date.now(),
    };
  }

  /** And takes it as sent. */
  #isNew(key: string, value: unknown): boolean {
    const text = JSON.stringify(value);
    if (this.#sent.get(key) === text) return false;
    this.#sent.set(key, text);
    return true;
  }
}

/** Without what changes all the time, which comes as figures. */
function steady(view: VmView): VmView {
  const { shadow } = view.ft;
  return {
    ...view,
    ft: {
      ...view.ft,
      ...{ logMbitPerSecond: null, shadowCpuPercent: null, shadowMemoryBytes: null },
      ...{ logBytesSent: 0, fingerprintsCompared: 0 },
      shadow: shadow === null ? null : { ...shadow, lagMs: 0 },
    },
  };
}
