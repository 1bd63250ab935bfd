/**
 * What the center and the daemons (hosts and gateways) say to each other: one JSON object a message
 * over a WebSocket that the daemon opens, mutual TLS both ways.
 *
 * The center commands, the daemon reports. Commands say what should be, may be repeated, and carry
 * everything that is needed, so either side may restart at any time: after a reconnect the daemon
 * reports every VM that it runs, and the center sends again what it wants. The center decides
 * placement and wishes; who is live is the arbiter's business alone.
 */

export const agentProtocolVersion = 1;

/** Everything that decides what a VM is: the same on every host, fixed while it is powered on. */
export interface VmSpec {
  readonly id: string;
  readonly name: string;
  /** The VM's number on trunks, unique in the cluster, from 1. */
  readonly number: number;
  readonly image: string;
  /**
   * SHA-256 (hex) of the image's `image.json`, which holds the hash of every file: both copies
   * boot the same bytes. Hosts fetch `/images/NAME/files/image.json` and the files that it names.
   */
  readonly imageDigest: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly mac: string;
  /** The VLAN that its port is in, 1 to 4094; without one its frames have no tag. */
  readonly vlan?: number;
  /** Overrides the image's kernel command line. */
  readonly append?: string;
  /** Bytes of each replicated disk; contents start as zeros or from the image's template. */
  readonly disks: readonly { readonly bytes: number; readonly template?: string }[];
  /** Power-on inputs: nanoseconds since the Unix epoch at tick 0 (decimal), and random bytes (hex). */
  readonly epochOffset: string;
  readonly randomSeed: string;
}

/** Ports that the gateway publishes for a VM. */
export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly gatewayPort: number;
  readonly guestPort: number;
}

/** A daemon as its neighbours need it: its certificate's name, and where its trunk listens. */
export interface Peer {
  readonly id: string;
  readonly name: string;
  readonly kind: 'host' | 'gateway';
  readonly trunkAddress: string;
  readonly trunkPort: number;
  /** When the latest certificate ends that it has shown, Unix milliseconds. */
  readonly certificateEnds?: number;
}

export type CenterMessage =
  | { readonly kind: 'welcome'; readonly protocol: number; readonly daemonId: string }
  /** Every center of the cluster, if there are several: any of them answers for the arbiter. */
  | { readonly kind: 'centers'; readonly urls: readonly string[] }
  /** The full mesh; sent whenever it changes. `revoked`: ids that are never believed again. */
  | {
      readonly kind: 'peers';
      readonly peers: readonly Peer[];
      readonly revoked?: readonly string[];
    }
  /** Power on as the live copy. `fenced`: the copy that was live has certainly ended. */
  | {
      readonly kind: 'start';
      readonly vm: VmSpec;
      readonly fenced: boolean;
      readonly acceptStale: boolean;
    }
  /** Become the shadow of the copy that listens at this address. */
  | {
      readonly kind: 'startShadow';
      readonly vm: VmSpec;
      readonly primary: { readonly host: string; readonly address: string; readonly port: number };
    }
  /** Whether the live copy should have a shadow, and which host's. */
  | { readonly kind: 'protect'; readonly vm: string; readonly shadowHost: string | undefined }
  /** Planned hand-over to the shadow. */
  | { readonly kind: 'handOver'; readonly vm: string }
  | {
      readonly kind: 'stop';
      readonly vm: string;
      readonly how: 'power-button' | 'power-off' | 'suspend';
    }
  | { readonly kind: 'reset'; readonly vm: string }
  /** End a shadow's process, or what is left of a copy that lost its claim. */
  | { readonly kind: 'dismiss'; readonly vm: string }
  /** The VM has been deleted: end whatever runs of it and remove its folder, disks included. */
  | { readonly kind: 'forget'; readonly vm: string }
  | { readonly kind: 'consoleInput'; readonly vm: string; readonly bytes: string }
  /** To gateways: all that is published, and each VM's MAC. */
  | {
      readonly kind: 'publish';
      readonly vms: readonly {
        readonly number: number;
        readonly mac: string;
        readonly name: string;
        readonly ports: readonly PublishedPort[];
      }[];
    }
  /** The floating place: this MAC is now behind that daemon, in this generation. */
  | {
      readonly kind: 'place';
      readonly vmNumber: number;
      readonly mac: string;
      readonly host: string;
      readonly epoch: number;
      readonly generation: number;
    };

/** What a daemon says of one VM process. Also sent unasked when something changes. */
export interface VmStatus {
  readonly vm: string;
  readonly pid: number;
  /** The process's name at the arbiter. */
  readonly process: string;
  readonly role: 'starting' | 'live' | 'shadow' | 'ended';
  readonly count: string;
  readonly epoch: number;
  readonly generation: number;
  /** Where the live copy listens for its shadow. */
  readonly logAddress?: string;
  readonly logPort?: number;
  /** The reference's state and reason (lockstep/status.ts), of a live copy. */
  readonly ftState: string;
  readonly ftReason?: string;
  readonly shadowHost?: string;
  readonly lagMs: number;
  readonly logBytesSent: number;
  readonly fingerprintsCompared: number;
  readonly divergences: number;
  /** Why it ended. */
  readonly ended?: { readonly kind: string; readonly text: string };
}

export type DaemonMessage =
  | {
      readonly kind: 'hello';
      readonly protocol: number;
      readonly daemonKind: 'host' | 'gateway';
      readonly pid: number;
      readonly version: string;
      readonly trunkAddress: string;
      readonly trunkPort: number;
      readonly logAddress: string;
      readonly cpus: number;
      readonly memoryBytes: number;
      readonly vms: readonly VmStatus[];
    }
  | { readonly kind: 'status'; readonly vms: readonly VmStatus[] }
  /** Something happened to a VM; `report` is lockstep's (lockstep/status.ts), as JSON. */
  | {
      readonly kind: 'report';
      readonly vm: string;
      readonly report: Readonly<Record<string, unknown>>;
    }
  /** Console bytes (base64) with their offset since power-on: each byte is shown exactly once. */
  | {
      readonly kind: 'console';
      readonly vm: string;
      readonly offset: string;
      readonly bytes: string;
    }
  /** A command could not be carried out. */
  | {
      readonly kind: 'failed';
      readonly vm: string;
      readonly command: string;
      readonly code: string;
      readonly message: string;
      readonly remedy: string;
    };
