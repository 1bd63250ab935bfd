/**
 * What a host and a gateway have in common: a membership in the cluster, an Ethernet with trunks to
 * all other daemons, and the line to the center.
 *
 * Joining comes first and needs the center; a daemon that has joined before starts without it and
 * finds it again whenever it is back.
 */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { chmod, mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { CenterMessage, Peer, TrunkStatus } from '../api/agent.ts';
import { type AgentLink, connectAgent, type HelloMessage } from '../api/agent-link.ts';
import type { DaemonCredentials } from '../api/credentials.ts';
import { joinCluster } from '../api/join.ts';
import { Renewal } from '../api/renewal.ts';
import { centerUrl, connectionError } from '../api/wire.ts';
import type { UmbraError } from '../base/errors.ts';
import { portGeneration } from '../network/switch.ts';
import type { TrunkAnnouncement } from '../network/trunk.ts';
import { parseMacText } from '../network/wire.ts';
import { CenterList } from './center-list.ts';
import { Ethernet } from './ethernet.ts';
import { daemonLog, type Log } from './log.ts';
import { SwitchSocket } from './switch-socket.ts';
import { differsMuch, trunkStatuses } from './trunk-statuses.ts';
import { Trunks } from './trunks.ts';
import { type Standing, Trust } from './trust.ts';

/** How `umbra host start` and `umbra gateway start` are called. */
export interface MemberOptions {
  readonly url: string;
  /** Not needed by a folder that has joined before. */
  readonly token?: string | undefined;
  readonly dataDirectory: string;
  readonly name?: string | undefined;
  /** IP address for trunks, also in the certificate; by default the one that the center sees. */
  readonly trunkAddress?: string | undefined;
  readonly logAddress?: string | undefined;
  readonly log?: Log;
}

export interface MemberHandlers {
  readonly hello: () => HelloMessage;
  readonly onMessage: (message: CenterMessage) => void;
  readonly onConnected?: () => void;
  readonly onDisconnected?: () => void;
  readonly onTrunk?: (peer: Peer, up: boolean) => void;
  readonly onAnnounced?: (announcement: TrunkAnnouncement, now: number) => void;
  /** The files of the credentials have changed. */
  readonly onRenewed?: () => void;
  /** What the center says of other members has changed. */
  readonly onStanding?: (standing: Standing) => void;
  /** The center will not have this daemon. */
  readonly onRefused: (why: UmbraError) => void;
}

/** Between two looks at the trunks. */
const trunksMs = 2_000;

type PeersMessage = Extract<CenterMessage, { kind: 'peers' }>;
type PlaceMessage = Extract<CenterMessage, { kind: 'place' }>;

export class Member {
  readonly credentials: DaemonCredentials;
  readonly #centers: CenterList;
  /** Absolute. */
  readonly dataDirectory: string;
  readonly name: string;
  readonly trunkAddress: string;
  readonly logAddress: string;
  readonly log: Log;
  readonly ethernet = new Ethernet();
  readonly #trust: Trust;
  readonly switchSocketPath: string;
  readonly #infrastructurePath: string;
  readonly #vmSocket: SwitchSocket;
  readonly #infrastructureSocket: SwitchSocket;
  #trunks: Trunks | undefined;
  #trunkPort = 0;
  #link: AgentLink | undefined;
  #renewal: Renewal | undefined;
  #looks: NodeJS.Timeout | undefined;
  /** What the center was told of the trunks. */
  #toldTrunks: readonly TrunkStatus[] | undefined;

  private constructor(
    options: MemberOptions,
    credentials: DaemonCredentials,
    name: string,
    addresses: { readonly trunk: string; readonly log: string },
  ) {
    this.credentials = credentials;
    this.#trust = new Trust(credentials);
    this.#centers = new CenterList(options.dataDirectory, centerUrl(options.url));
    this.dataDirectory = options.dataDirectory;
    this.name = name;
    this.trunkAddress = addresses.trunk;
    this.logAddress = addresses.log;
    this.log = options.log ?? daemonLog(name);
    this.switchSocketPath = join(options.dataDirectory, 'switch.sock');
    this.#infrastructurePath = join(options.dataDirectory, 'qemu.sock');
    this.#vmSocket = new SwitchSocket(this.ethernet, 'vm', this.log);
    this.#infrastructureSocket = new SwitchSocket(this.ethernet, 'infrastructure', this.log);
  }

  static async join(kind: 'host' | 'gateway', given: MemberOptions): Promise<Member> {
    const options = { ...given, dataDirectory: resolve(given.dataDirectory) };
    await mkdir(options.dataDirectory, { recursive: true, mode: 0o700 });
    // Keys, disks and the switch's sockets: nobody else's, also where the folder was there before.
    await chmod(options.dataDirectory, 0o700);
    const name = options.name ?? defaultName(kind);
    const trunk = options.trunkAddress ?? (await addressTowards(options.url));
    const log = options.logAddress ?? trunk;
    const credentials = await joinCluster({
      url: options.url,
      token: options.token,
      kind,
      name,
      addresses: [...new Set([trunk, log])],
      directory: options.dataDirectory,
    });
    return new Member(options, credentials, name, { trunk, log });
  }

  get id(): string {
    return this.credentials.daemonId;
  }

  /** Of the centers, the one that was given first. */
  get urls(): readonly string[] {
    return this.#centers.urls;
  }

  /** Known once `start` has listened. */
  get trunkPort(): number {
    return this.#trunkPort;
  }

  get trunks(): Trunks {
    return this.#trunks!;
  }

  /** Takes the folder: a second daemon on it fails here, before it touches anything. */
  async claim(): Promise<void> {
    await this.#vmSocket.listen(this.switchSocketPath);
    await this.#infrastructureSocket.listen(this.#infrastructurePath);
  }

  async start(handlers: MemberHandlers): Promise<void> {
    const { credentials, ethernet, log } = this;
    this.#trunks = new Trunks({
      id: this.id,
      trust: this.#trust,
      ethernet,
      log,
      ...(handlers.onTrunk && { changed: handlers.onTrunk }),
      ...(handlers.onAnnounced && { announced: handlers.onAnnounced }),
    });
    this.#trunkPort = await this.#trunks.listen(this.trunkAddress);
    this.#link = connectAgent({
      urls: () => this.urls,
      credentials,
      hello: handlers.hello,
      onMessage: (message) => {
        if (message.kind === 'centers') this.#centers.learn(message.urls);
        if (message.kind !== 'peers') return handlers.onMessage(message);
        const standing = standingOf(message);
        this.#trust.learn(standing);
        this.#trunks!.setPeers(message.peers);
        handlers.onStanding?.(standing);
      },
      onConnected: () => {
        log.info('the center is there');
        this.#toldTrunks = undefined;
        this.#tellTrunks();
        handlers.onConnected?.();
      },
      onDisconnected: (why) => {
        log.warn(why.message);
        handlers.onDisconnected?.();
      },
      onRefused: handlers.onRefused,
    });
    this.#looks = setInterval(() => this.#tellTrunks(), trunksMs);
    this.#renewal = new Renewal({
      urls: () => this.urls,
      credentials,
      renewed: (endsAt) => {
        log.info(`the certificate is renewed, until ${endsAt.toISOString()}`);
        this.#trust.renew();
        this.#trunks!.renew();
        handlers.onRenewed?.();
      },
      failed: (why, endsAt) => {
        const until = `it ends at ${endsAt.toISOString()}`;
        log.warn(`the certificate is not renewed yet (${until}): ${why.message}`);
      },
    });
    this.#renewal.start();
  }

  /** A center that is older passes over what it does not know. */
  #tellTrunks(): void {
    if (!this.connected) return;
    const trunks = trunkStatuses(this.trunks.links);
    if (this.#toldTrunks !== undefined && !differsMuch(this.#toldTrunks, trunks)) return;
    this.#toldTrunks = trunks;
    this.send({ kind: 'status', vms: [], trunks });
  }

  /** What the center speaks; 0 before it was met. */
  get protocol(): number {
    return this.#link?.protocol ?? 0;
  }

  get connected(): boolean {
    return this.#link?.connected === true;
  }

  /** The center that gives the orders; undefined while there is no connection to one. */
  get leaderUrl(): string | undefined {
    return this.#link?.url;
  }

  send(message: Parameters<AgentLink['send']>[0]): void {
    this.#link?.send(message);
  }

  /** The center says where a VM is now. */
  place({ vmNumber, mac, host, epoch, generation }: PlaceMessage): void {
    const address = parseMacText(mac);
    if (address === undefined) return;
    const at = host === this.id ? 'here' : this.trunks.portTo(host);
    this.ethernet.turn((now) => {
      this.ethernet.place(vmNumber, portGeneration(epoch, generation), address, at, now);
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#looks);
    this.#renewal?.close();
    this.#link?.close();
    await this.#trunks?.close();
    await this.#vmSocket.close();
    await this.#infrastructureSocket.close();
    this.ethernet.close();
  }
}

function standingOf({ peers, revoked = [] }: PeersMessage): Standing {
  const ends = peers.flatMap(({ id, certificateEnds }): [string, number][] =>
    certificateEnds === undefined ? [] : [[id, certificateEnds]],
  );
  return { revoked, certificateEnds: Object.fromEntries(ends) };
}

/** The machine's name in the alphabet of names. */
function defaultName(kind: 'host' | 'gateway'): string {
  const machine = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 50);
  return kind === 'host' ? machine || 'host' : `${machine || 'umbra'}-gateway`;
}

/**
 * The address of this machine from which the center is reached: others reach it there too. Asked of
 * the routing table by a UDP socket that sends nothing, so the center need not be there.
 */
async function addressTowards(url: string): Promise<string> {
  const { hostname: host, port } = new URL(centerUrl(url));
  try {
    const { address, family } = await lookup(host.replace(/^\[|\]$/g, ''));
    const probe = createSocket(family === 6 ? 'udp6' : 'udp4');
    try {
      await new Promise<void>((resolve, reject) => {
        probe.once('error', reject);
        probe.connect(Number(port === '' ? 443 : port), address, resolve);
      });
      return probe.address().address;
    } finally {
      probe.close();
    }
  } catch (cause) {
    throw connectionError(url, cause as Error);
  }
}
