/**
 * What the center and the daemons (hosts and gateways) say to each other: one JSON object a message
 * over a WebSocket that the daemon opens, mutual TLS both ways.
 *
 * The center commands, the daemon reports. Commands say what should be, may be repeated, and carry
 * everything that is needed, so either side may restart at any time: after a reconnect the daemon
 * reports every VM that it runs, and the center sends again what it wants. The center decides
 * placement and wishes; who is live is the arbiter's business alone.
 */

/**
 * The newest version of this conversation. Center and daemons of neighbouring versions understand
 * each other: they speak the older of the two, which the center names in its `welcome`, and use
 * what the newer one has added only where both have it (docs/upgrade.md).
 *
 * 2: `clock` from daemons, `removeReplica` to hosts.
 * 3: `datastores` in the hello of hosts, and orders for VMs whose disks are there.
 * 4: recordings. `snapshotDisks` and `sendArchive` came after 3 had been spoken: only from 4 on is it
 *    certain that a host knows them.
 */
export const agentProtocolVersion = 4;

/** What two sides speak, or undefined if they are no neighbours. Version 0 never was. */
export function commonAgentProtocol(
  theirs: number,
  ours: number = agentProtocolVersion,
): number | undefined {
  const common = Math.min(theirs, ours);
  return common >= 1 && Math.abs(theirs - ours) <= 1 ? common : undefined;
}

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
  /** Its network card has no cable. Since 4; older hosts must not get it. */
  readonly isolated?: true;
  /** Overrides the image's kernel command line. */
  readonly append?: string;
  /** Where all its disks are; without one each host has a replica of its own. Since 3. */
  readonly datastore?: { readonly name: string; readonly id: string };
  /** Bytes of each disk; contents start as zeros or from the image's template. */
  readonly disks: readonly {
    readonly bytes: number;
    readonly template?: string;
    /** Sizes before it was grown: a file that still has one of them grows when it is opened. */
    readonly formerBytes?: readonly number[];
  }[];
  /** Power-on inputs: nanoseconds since the Unix epoch at tick 0 (decimal), and random bytes (hex). */
  readonly epochOffset: string;
  readonly randomSeed: string;
}

/** Storage that several hosts reach (host/datastores.ts), as one of them sees it. */
export interface DatastoreInfo {
  readonly name: string;
  /** Of the storage itself: a name alone is not enough to be the same. */
  readonly id: string;
  /** On that host. */
  readonly path: string;
  /** Whether copies of files share their blocks there. */
  readonly canClone: boolean;
  readonly bytesFree: number;
  readonly bytesTotal: number;
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
  /**
   * Power on as the live copy, or go on from the saved state that the arbiter's record names.
   * `fenced`: the copy that was live has certainly ended. `discardState`: without that state. Of a
   * VM on a datastore: the lease that its copy shall hold, and which one has ended (`leaseOf`).
   */
  | {
      readonly kind: 'start';
      readonly vm: VmSpec;
      readonly fenced: boolean;
      readonly acceptStale: boolean;
      readonly discardState?: boolean;
      readonly leaseMs?: number;
      readonly lapsed?: string;
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
  /** Reset its guest whenever that has not responded for so long; absent: never. Since 3. */
  | { readonly kind: 'watchdog'; readonly vm: string; readonly seconds?: number }
  /**
   * Record the live copy, on its host's disk; may be repeated. `work-done` names the recording when
   * it has begun, `recording-ended` when it has ended unasked. Since 4.
   */
  | {
      readonly kind: 'record';
      readonly vm: string;
      readonly id: string;
      readonly name: string;
      readonly bytesMax?: number;
    }
  | {
      readonly kind: 'stopRecording';
      readonly vm: string;
      readonly id: string;
      readonly work: string;
    }
  /** The live copy's flight recorder; without `seconds` and `bytesMax` it is off. Since 4. */
  | {
      readonly kind: 'flight';
      readonly vm: string;
      readonly seconds?: number;
      readonly bytesMax?: number;
    }
  /** What it has now becomes a recording of this name. */
  | {
      readonly kind: 'keepFlight';
      readonly vm: string;
      readonly name: string;
      readonly work: string;
    }
  | { readonly kind: 'deleteRecording'; readonly vm: string; readonly id: string }
  /** As `sendArchive`, of a recording that has ended. */
  | {
      readonly kind: 'sendRecording';
      readonly vm: string;
      readonly id: string;
      readonly work: string;
    }
  /** What the log of a recording that has ended says, or its replay; `work-done` has it. Since 4. */
  | {
      readonly kind: 'lookAtRecording';
      readonly vm: string;
      readonly id: string;
      readonly work: string;
    }
  /** Replays it once, for `lookAtRecording` and `readRecordingConsole`. Since 4. */
  | {
      readonly kind: 'replayRecording';
      readonly vm: string;
      readonly id: string;
      readonly work: string;
    }
  /** Nobody waits for that replay any more. */
  | { readonly kind: 'endReplay'; readonly vm: string; readonly work: string }
  /** A page of what the guest said in it; `work-done` has it. Since 4. */
  | {
      readonly kind: 'readRecordingConsole';
      readonly vm: string;
      readonly id: string;
      readonly from: number;
      readonly work: string;
    }
  /** To the live copy's host. What comes of works is told by reports of their ids. */
  | {
      readonly kind: 'snapshot';
      readonly vm: string;
      readonly id: string;
      readonly name: string;
    }
  /** Of a VM that is off: its disks alone. */
  | {
      readonly kind: 'snapshotDisks';
      readonly vm: VmSpec;
      readonly id: string;
      readonly name: string;
      readonly disks?: string;
    }
  | { readonly kind: 'deleteSnapshot'; readonly vm: string; readonly snapshot: string }
  /**
   * Of a VM that is off, or `fenced`: whose live copy has certainly ended. `saved`: the name of the
   * saved state that is made, and of the work.
   */
  | {
      readonly kind: 'revert';
      readonly vm: string;
      readonly snapshot: string;
      readonly saved: string;
      readonly fenced: boolean;
      readonly lapsed?: string;
    }
  /**
   * Makes a saved state of a place of a recording on this host (recording/place.ts), or of so many
   * seconds of the guest's time before it. The VM may run meanwhile. Since 4.
   */
  | {
      readonly kind: 'prepareRewind';
      readonly vm: VmSpec;
      readonly recording: string;
      readonly to: string;
      readonly secondsBefore: number;
      /** Where the recording does not reach so far: to its beginning, instead of a refusal. */
      readonly orBegin?: boolean;
      readonly saved: string;
      readonly work: string;
    }
  /** The same for a new VM: of a recording of VM `source`, and with its power-on inputs. Since 4. */
  | {
      readonly kind: 'goLive';
      readonly vm: VmSpec;
      readonly source: string;
      readonly recording: string;
      readonly to: string;
      readonly secondsBefore: number;
      readonly saved: string;
      readonly work: string;
    }
  /** As `revert`, to what has been prepared. Since 4. */
  | {
      readonly kind: 'rewind';
      readonly vm: string;
      readonly saved: string;
      readonly fenced: boolean;
      readonly lapsed?: string;
    }
  /** Disks for a new VM, from one that is off, or from its snapshot. */
  | {
      readonly kind: 'clone';
      readonly vm: VmSpec;
      readonly snapshot?: string;
      readonly newVm: string;
      readonly work: string;
      /** Of a VM on a datastore: the name of its disks there. */
      readonly disks?: string;
    }
  /** Writes a VM that is off into an archive on this host, under that name. */
  | {
      readonly kind: 'export';
      readonly vm: VmSpec;
      readonly file: string;
      readonly work: string;
      readonly disks?: string;
    }
  /**
   * Sends a VM that is off as an archive to the center that orders it, over a WebSocket of its own
   * (api/archive.ts). `work-done` names its bytes and its SHA-256.
   */
  | {
      readonly kind: 'sendArchive';
      readonly vm: VmSpec;
      readonly work: string;
      readonly disks?: string;
    }
  /** End a shadow's process, or what is left of a copy that lost its claim. */
  | { readonly kind: 'dismiss'; readonly vm: string }
  /** The VM's disks on this host, where nothing of it runs, are of no use any more. Since 2. */
  | { readonly kind: 'removeReplica'; readonly vm: string }
  /**
   * The arbiter waits in this epoch for what the host knows of the VM, of which no process is there.
   * Since 3.
   */
  | { readonly kind: 'register'; readonly vm: string; readonly epoch: number }
  /** The VM has been deleted: end whatever runs of it and remove its folder, disks included. */
  | { readonly kind: 'forget'; readonly vm: string }
  /**
   * Bytes (base64) that somebody types. `at`: the place of the first in all that was typed since the
   * VM was started or resumed: a copy passes over what it has had, and what comes behind a hole.
   */
  | {
      readonly kind: 'consoleInput';
      readonly vm: string;
      readonly bytes: string;
      readonly at?: number;
    }
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

/** A trunk that is up. */
export interface TrunkStatus {
  /** The id of the daemon at its other end. */
  readonly peer: string;
  /** The least lately there and back, in milliseconds; undefined: not known yet. */
  readonly roundTripMs?: number;
}

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
  /** The least lately from a batch of the log to its acknowledgement; of a live copy. */
  readonly logRoundTripMs?: number;
  readonly fingerprintsCompared: number;
  readonly divergences: number;
  /** The guest is watched, and reset when it has not responded for so long. */
  readonly watchdogSeconds?: number;
  /** Of a shadow: how far its disks are known to equal the primary's, in bytes. */
  readonly replica?: {
    readonly bytesTotal: number;
    readonly bytesCompared: number;
    readonly bytesSent: number;
  };
  /** Of a live copy: how long outputs were held lately, milliseconds, and how many are. */
  readonly gate?: { readonly medianMs: number; readonly p99Ms: number; readonly held: number };
  /** Of a shadow: the entry of the log at which it has last compared a fingerprint. */
  readonly lastFingerprint?: { readonly position: number; readonly count: string };
  /** Of the whole process since its start; what it holds of the host's memory. */
  readonly cpuMicros?: number;
  readonly residentBytes?: number;
  /** Totals of the process since its start: frames of the guest, with their headers. */
  readonly network?: {
    readonly bytesReceived: number;
    readonly bytesSent: number;
    readonly framesReceived: number;
    readonly framesSent: number;
  };
  /** And what the guest has asked of its disks. */
  readonly disk?: {
    readonly bytesRead: number;
    readonly bytesWritten: number;
    readonly reads: number;
    readonly writes: number;
  };
  /**
   * Of a live copy: how many bytes typed on the console no failover loses any more, counted as `at`
   * of `consoleInput` is. Absent where they are not counted.
   */
  readonly typedBytes?: number;
  /** Of a live copy: recordings under way. Since 4. */
  readonly recordings?: readonly RecordingStatus[];
  /** Of a live copy with a flight recorder. Since 4. */
  readonly flight?: FlightStatus;
  /** Why it ended. */
  readonly ended?: { readonly kind: string; readonly text: string };
}

/** A recording under way. */
export interface RecordingStatus {
  readonly id: string;
  readonly name: string;
  /** What its files take now. */
  readonly bytes: number;
  readonly seconds: number;
  /** Written so far, over the whole time. */
  readonly bytesPerSecond: number;
}

/** A flight recorder, as it is told and as it is. */
export interface FlightStatus {
  /** How much of the past it shall hold, about, and what it may take. */
  readonly seconds: number;
  readonly bytesMax: number;
  /** Seconds of the guest's time that it holds now, and what they take. */
  readonly held: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

/** A recording on a host's disk, under way or over. */
export interface RecordingInfo {
  readonly id: string;
  readonly name: string;
  /** The VM's name. */
  readonly vm: string;
  readonly startedAtMs: number;
  /** The machine's count where it begins. */
  readonly count: string;
  readonly bytes: number;
  /** Absent while it is under way, and where its process went without a word. */
  readonly endedAtMs?: number;
  readonly seconds?: number;
  readonly ended?: {
    readonly kind: string;
    readonly text?: string;
    /** Of one that a flight recorder has kept because something has happened to the guest. */
    readonly incident?: Incident;
  };
}

/** What has happened to a guest, and when, on its own clock: seconds since power-on. */
export interface Incident {
  readonly kind: 'panic' | 'failure' | 'watchdog';
  readonly at: number;
  /** It had been wrong for so long when it was seen. */
  readonly forSeconds: number;
}

/** A snapshot on a host's disk. */
export interface SnapshotInfo {
  readonly id: string;
  readonly name: string;
  /** The machine's count. */
  readonly count: string;
  readonly savedAtMs: number;
  readonly bytes: number;
  /** As it was powered on: going back to the snapshot means being this again. */
  readonly vm: VmSpec;
  /** It was powered off: disks alone. */
  readonly isOff?: boolean;
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
      /** Since 3. */
      readonly datastores?: readonly DatastoreInfo[];
    }
  | {
      readonly kind: 'status';
      readonly vms: readonly VmStatus[];
      /** All that are up, by the peer's id, where one is up or down or much slower than was said. */
      readonly trunks?: readonly TrunkStatus[];
    }
  /** The host's own clock, Unix milliseconds, every few seconds. Since 2. */
  | { readonly kind: 'clock'; readonly unixMs: number }
  /** Something happened to a VM; `report` is lockstep's (lockstep/status.ts), as JSON. */
  | {
      readonly kind: 'report';
      readonly vm: string;
      readonly report: Readonly<Record<string, unknown>>;
    }
  /** All snapshots of a VM that this host has; sent after a hello and whenever they change. */
  | {
      readonly kind: 'snapshots';
      readonly vm: string;
      readonly snapshots: readonly SnapshotInfo[];
    }
  /** The same of recordings. Since 4. */
  | {
      readonly kind: 'recordings';
      readonly vm: string;
      readonly recordings: readonly RecordingInfo[];
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
