/**
 * Everything that goes wrong, and everything an operator may order meanwhile, at random moments.
 * Whatever a fault breaks it also mends, some time later; `healAll` mends the rest.
 */
import type { Cluster } from './cluster.ts';

type Fault = (cluster: Cluster, mends: Mends) => void;

/** Runs each mending once: at its time, or earlier when everything is healed. */
class Mends {
  readonly #cluster: Cluster;
  readonly #open = new Set<() => void>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  later(min: number, max: number, mend: () => void): void {
    const { scheduler } = this.#cluster;
    const once = () => {
      if (this.#open.delete(once)) mend();
    };
    this.#open.add(once);
    scheduler.after(scheduler.random.between(min, max), once);
  }

  all(): void {
    for (const mend of [...this.#open]) mend();
  }
}

function anyProcess(cluster: Cluster) {
  const alive = cluster.processes.filter((process) => process.alive);
  return alive.length === 0 ? undefined : cluster.scheduler.random.pick(alive);
}

function cut(cluster: Cluster, mends: Mends, a: string, b: string): void {
  cluster.scheduler.trace(`cut ${a} | ${b}`);
  cluster.network.cut(a, b);
  mends.later(5_000, 1_500_000, () => {
    cluster.scheduler.trace(`healed ${a} | ${b}`);
    cluster.network.heal(a, b);
  });
}

const faults: readonly [weight: number, fault: Fault][] = [
  [
    4,
    function killProcess(cluster) {
      const process = anyProcess(cluster);
      if (process !== undefined) cluster.kill(process);
    },
  ],
  [
    3,
    function killLive(cluster) {
      if (cluster.live !== undefined) cluster.kill(cluster.live);
    },
  ],
  [
    3,
    function crashHost(cluster, mends) {
      const host = cluster.scheduler.random.pick(cluster.hosts);
      if (!host.up) return;
      cluster.crash(host);
      mends.later(100_000, 2_000_000, () => cluster.restart(host));
    },
  ],
  [
    4,
    function pauseProcess(cluster, mends) {
      const process = anyProcess(cluster);
      if (process === undefined) return;
      cluster.scheduler.trace(`${process.name} is paused`);
      process.pause();
      mends.later(20_000, 2_500_000, () => {
        cluster.scheduler.trace(`${process.name} goes on`);
        process.resume();
      });
    },
  ],
  [
    4,
    function cutHosts(cluster, mends) {
      const { random } = cluster.scheduler;
      const a = random.pick(cluster.hosts).name;
      const b = random.pick(cluster.hosts).name;
      if (a !== b) cut(cluster, mends, a, b);
    },
  ],
  [
    2,
    function isolateHost(cluster, mends) {
      const { name } = cluster.scheduler.random.pick(cluster.hosts);
      for (const other of [...cluster.hosts.map((host) => host.name), 'arbiter', 'world']) {
        if (other !== name) cut(cluster, mends, name, other);
      }
    },
  ],
  [
    2,
    function cutArbiter(cluster, mends) {
      cut(cluster, mends, cluster.scheduler.random.pick(cluster.hosts).name, 'arbiter');
    },
  ],
  [
    2,
    function arbiterDown(cluster, mends) {
      cluster.scheduler.trace('the arbiter is down');
      cluster.arbiterUp = false;
      mends.later(50_000, 1_500_000, () => {
        cluster.scheduler.trace('the arbiter is up');
        cluster.arbiterUp = true;
      });
    },
  ],
  [
    2,
    function loseReplies(cluster, mends) {
      cluster.lossOfReplies = 0.6;
      mends.later(200_000, 2_000_000, () => {
        cluster.lossOfReplies = 0;
      });
    },
  ],
  [
    1,
    function rollBackArbiter(cluster) {
      cluster.rollBack();
    },
  ],
  [
    1,
    function loseArbiterStore(cluster) {
      cluster.loseStore();
    },
  ],
  [
    1,
    function restartCenter(cluster) {
      cluster.restartCenter();
    },
  ],
  [
    4,
    function resetLinks(cluster) {
      cluster.resetLinks();
    },
  ],
  [
    2,
    function flapLinks(cluster) {
      const { random } = cluster.scheduler;
      for (let flap = 0; flap < 6; flap++) {
        cluster.scheduler.after(random.between(0, 300_000), () => cluster.resetLinks());
      }
    },
  ],
  [
    2,
    function loseDatagrams(cluster, mends) {
      cluster.network.lossOfDatagrams = 0.4;
      mends.later(100_000, 1_000_000, () => {
        cluster.network.lossOfDatagrams = 0.01;
      });
    },
  ],
  [
    2,
    function slowProcess(cluster, mends) {
      const process = anyProcess(cluster);
      if (process === undefined) return;
      cluster.scheduler.trace(`${process.name} is slow`);
      process.costPerCount = 0.08;
      mends.later(100_000, 1_500_000, () => {
        process.costPerCount = 0.02;
      });
    },
  ],
  [
    1,
    function failDisk(cluster, mends) {
      const process = anyProcess(cluster);
      if (process === undefined) return;
      const disk = cluster.scheduler.random.below(cluster.options.disks.length);
      const device = cluster.diskOf(process, disk);
      cluster.scheduler.trace(`disk ${disk} of ${process.host} fails`);
      device.failing = true;
      mends.later(5_000, 300_000, () => {
        device.failing = false;
      });
    },
  ],
  [
    3,
    function handOver(cluster) {
      const refused = cluster.live?.copy.primary?.protection.handOver();
      cluster.scheduler.trace(`hand-over ordered: ${refused ?? 'begins'}`);
    },
  ],
  [
    1,
    function turnOff(cluster, mends) {
      cluster.wantProtection = false;
      cluster.scheduler.trace('protection is turned off');
      cluster.live?.copy.primary?.protection.turnOff();
      mends.later(50_000, 500_000, () => {
        cluster.wantProtection = true;
        for (const { copy } of cluster.primaries) copy.primary!.protection.wanted = 'enabled';
      });
    },
  ],
  [
    2,
    function suspend(cluster, mends) {
      const refused = cluster.live?.copy.primary?.protection.suspend();
      cluster.scheduler.trace(`suspend ordered: ${refused ?? 'begins'}`);
      cluster.live?.wake(cluster.scheduler.now);
      cluster.asleep = true;
      mends.later(50_000, 1_500_000, () => {
        cluster.asleep = false;
      });
    },
  ],
  [
    1,
    function typeKeys(cluster) {
      const keys = cluster.scheduler.random.bytes(3);
      cluster.live?.deliver(() => cluster.route?.copy.console(keys));
    },
  ],
  [
    1,
    function reset(cluster) {
      const process = cluster.live;
      process?.deliver(() => process.copy.control('reset'));
      process?.wake(cluster.scheduler.now);
    },
  ],
];

export class Faults {
  readonly #cluster: Cluster;
  readonly #mends: Mends;
  /** Each seed knows only some of the faults, so that the drastic ones do not hide the subtle. */
  readonly #chosen: readonly [weight: number, fault: Fault][];
  readonly #totalWeight: number;
  #calm = false;

  /** @param gap mean time between two faults, in microseconds */
  constructor(cluster: Cluster, gap: number) {
    this.#cluster = cluster;
    this.#mends = new Mends(cluster);
    const some = faults.filter(() => cluster.scheduler.random.chance(0.5));
    this.#chosen = some.length > 0 ? some : faults;
    this.#totalWeight = this.#chosen.reduce((sum, [weight]) => sum + weight, 0);
    // Whatever can break in the middle of a change is broken there, too.
    const { random } = cluster.scheduler;
    const chance = random.pick([0, 0.05, 0.2]);
    cluster.onTransition = () => {
      if (!this.#calm && random.chance(chance)) {
        cluster.scheduler.after(random.pick([0, 100, 400, 3000]), () => this.#strike());
      }
    };
    this.#next(gap);
  }

  healAll(): void {
    this.#calm = true;
    this.#mends.all();
    this.#cluster.network.lossOfDatagrams = 0.01;
  }

  #next(gap: number): void {
    const { scheduler } = this.#cluster;
    scheduler.after(scheduler.random.between(0, 2 * gap), () => {
      if (this.#calm) return;
      this.#strike();
      this.#next(gap);
    });
  }

  #strike(): void {
    if (this.#calm) return;
    const { scheduler } = this.#cluster;
    let choice = scheduler.random.below(this.#totalWeight);
    for (const [weight, fault] of this.#chosen) {
      choice -= weight;
      if (choice >= 0) continue;
      scheduler.trace(`fault: ${fault.name}`);
      return fault(this.#cluster, this.#mends);
    }
  }
}
