/**
 * The trunks of one daemon to all others: a full mesh of mutual TLS 1.3, exactly one trunk a pair.
 *
 * On each pair the daemon with the smaller id connects, again and again until it succeeds; the
 * other one accepts. `setPeers` says who belongs to the cluster; whoever is not among them, or
 * shows a certificate of another name or kind, is closed before a byte of it is looked at. The owner
 * hears when a trunk comes up (the peer's hello has come) and when it goes down.
 *
 * A peer that restarts is back before its old connection is known to be dead: the newer connection
 * of a pair replaces the older one.
 */
import type net from 'node:net';
import tls from 'node:tls';
import type { Peer } from '../api/agent.ts';
import { trustLater } from '../api/peer-certificate.ts';
import type { Port } from '../network/switch.ts';
import type { TrunkAnnouncement } from '../network/trunk.ts';
import { Alarm, nowUs } from './clock.ts';
import type { Ethernet } from './ethernet.ts';
import type { Log } from './log.ts';
import { Trunk } from './trunk-connection.ts';
import type { Judgement, Trust } from './trust.ts';

const PING_INTERVAL_US = 500_000;
/** Well beyond what a busy machine may stall; a process that ends closes its sockets anyway. */
const SILENCE_US_MAX = 3_000_000;
const HANDSHAKE_MS_MAX = 5_000;
/** Those that have not shown who they are included; a mesh is smaller. */
const CONNECTIONS_MAX = 1_024;
const RETRY_US_MIN = 50_000;
const RETRY_US_MAX = 1_000_000;

export interface TrunksOptions {
  /** This daemon's id, which is also its certificate's common name. */
  readonly id: string;
  readonly trust: Trust;
  readonly ethernet: Ethernet;
  readonly log: Log;
  readonly changed?: (peer: Peer, up: boolean) => void;
  /** An announcement that this switch has accepted from a peer. */
  readonly announced?: (announcement: TrunkAnnouncement, now: number) => void;
}

export interface TrunkLink {
  readonly peer: string;
  /** The least lately; undefined: not known yet. */
  readonly roundTripUs: number | undefined;
}

/** What this daemon knows of a peer, and the way to it that it has or seeks. */
interface Way {
  peer: Peer;
  trunk: Trunk | undefined;
  isUp: boolean;
  /** While connecting; only on the side with the smaller id. */
  dialing: tls.TLSSocket | undefined;
  retryUs: number;
  readonly retry: Alarm;
}

export class Trunks {
  readonly #options: TrunksOptions;
  #context: tls.SecureContext;
  readonly #server: tls.Server;
  readonly #accepted = new Set<net.Socket>();
  readonly #ways = new Map<string, Way>();
  readonly #beat = new Alarm(() => this.#housekeep());
  #closed = false;

  constructor(options: TrunksOptions) {
    this.#options = options;
    const { mutual } = options.trust;
    this.#context = tls.createSecureContext(mutual);
    this.#server = tls.createServer(
      { ...mutual, ...trustLater, handshakeTimeout: HANDSHAKE_MS_MAX, noDelay: true },
      (socket) => this.#accept(socket),
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on('connection', (socket: net.Socket) => {
      this.#accepted.add(socket);
      socket.once('close', () => this.#accepted.delete(socket));
    });
    this.#server.on('tlsClientError', (error, socket) => {
      options.log.warn(`a trunk was refused: ${error.message}`);
      socket.destroy();
    });
    options.ethernet.tellTrunks((announcement) => {
      for (const { trunk } of this.#ways.values()) trunk?.tell(announcement);
    });
  }

  /** @returns the port, which the system has chosen if `port` is 0 */
  async listen(address: string, port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, address, resolve);
    });
    this.#beat.set(nowUs() + PING_INTERVAL_US);
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** The whole cluster, this daemon perhaps included. */
  setPeers(peers: readonly Peer[]): void {
    if (this.#closed) return;
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    wanted.delete(this.#options.id);
    for (const [id, way] of this.#ways) {
      if (wanted.has(id)) continue;
      this.#ways.delete(id);
      this.#abandon(way);
    }
    for (const [id, peer] of wanted) {
      const known = this.#ways.get(id);
      if (known === undefined) this.#add(peer);
      else this.#update(known, peer);
    }
  }

  /** There are new certificates: for the next connections. */
  renew(): void {
    const { mutual } = this.#options.trust;
    this.#context = tls.createSecureContext(mutual);
    this.#server.setSecureContext(mutual);
  }

  isUp(id: string): boolean {
    return this.#ways.get(id)?.isUp ?? false;
  }

  /** Those that are up, with the peer's id. */
  get links(): TrunkLink[] {
    return [...this.#ways.values()].flatMap(({ peer: { id }, trunk, isUp }) =>
      isUp && trunk !== undefined ? [{ peer: id, roundTripUs: trunk.roundTripUs }] : [],
    );
  }

  /** The switch's port towards a daemon, if its trunk is there. */
  portTo(id: string): Port | undefined {
    return this.#ways.get(id)?.trunk?.port;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#beat.clear();
    for (const way of this.#ways.values()) this.#abandon(way);
    this.#ways.clear();
    for (const socket of this.#accepted) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #add(peer: Peer): void {
    const way: Way = {
      peer,
      trunk: undefined,
      isUp: false,
      dialing: undefined,
      retryUs: RETRY_US_MIN,
      retry: new Alarm(() => this.#dial(way)),
    };
    this.#ways.set(peer.id, way);
    this.#dial(way);
  }

  /** A peer that listens elsewhere now is dialed there; a trunk that stands is left alone. */
  #update(way: Way, peer: Peer): void {
    const moved =
      peer.trunkAddress !== way.peer.trunkAddress || peer.trunkPort !== way.peer.trunkPort;
    way.peer = peer;
    if (!moved || way.trunk !== undefined) return;
    way.dialing?.destroy();
    way.retryUs = RETRY_US_MIN;
    way.retry.set(nowUs());
  }

  #abandon(way: Way): void {
    way.retry.clear();
    way.dialing?.destroy();
    if (way.trunk !== undefined) this.#drop(way, way.trunk, 'the peer has left the cluster');
  }

  #dial(way: Way): void {
    const { id } = this.#options;
    if (this.#closed || way.trunk !== undefined || way.dialing !== undefined) return;
    if (id > way.peer.id) return;
    const { trunkAddress: host, trunkPort: port } = way.peer;
    const socket = tls.connect({
      host,
      port,
      secureContext: this.#context,
      ...trustLater,
      timeout: HANDSHAKE_MS_MAX,
    });
    way.dialing = socket;
    let why = 'closed';
    socket.once('timeout', () => socket.destroy(new Error('no answer')));
    socket.on('error', (error) => {
      why = error.message;
    });
    socket.once('close', () => {
      if (way.dialing !== socket) return;
      way.dialing = undefined;
      // Said once an outage, not at every try.
      if (way.retryUs === RETRY_US_MIN) {
        this.#options.log.info({ peer: way.peer.name }, `no trunk yet: ${why}`);
      }
      this.#dialLater(way);
    });
    socket.once('secureConnect', () => {
      const { name, refused } = this.#judge(socket);
      if (refused !== undefined || name !== way.peer.id) {
        socket.destroy(new Error(refused ?? `the certificate is that of ${name}`));
        return;
      }
      way.dialing = undefined;
      socket.setTimeout(0);
      this.#open(way, socket);
    });
  }

  #dialLater(way: Way): void {
    if (this.#closed || this.#ways.get(way.peer.id) !== way) return;
    way.retry.set(nowUs() + way.retryUs);
    way.retryUs = Math.min(RETRY_US_MAX, way.retryUs * 2);
  }

  #accept(socket: tls.TLSSocket): void {
    socket.on('error', () => socket.destroy());
    const { name, refused } = this.#judge(socket);
    const way = refused === undefined ? this.#ways.get(name) : undefined;
    if (way === undefined || way.peer.id > this.#options.id) {
      // A daemon that has just joined may know of this one before it is known here; it tries again.
      const why = refused ?? 'it is not the one of this pair that connects';
      this.#options.log.warn({ peer: name }, `a trunk was refused: ${why}`);
      socket.destroy();
      return;
    }
    this.#open(way, socket);
  }

  #judge(socket: tls.TLSSocket): Judgement {
    const judgement = this.#options.trust.judge(socket, (id) => this.#ways.get(id)?.peer.kind);
    const { name } = judgement;
    if (judgement.refused === undefined && judgement.hasEnded) {
      this.#options.log.warn({ peer: name }, 'its certificate has ended, and it has no newer one');
    }
    return judgement;
  }

  #open(way: Way, socket: tls.TLSSocket): void {
    const { ethernet, log } = this.#options;
    if (way.trunk !== undefined) this.#drop(way, way.trunk, 'replaced by a newer connection');
    const trunk: Trunk = new Trunk(socket, {
      ethernet,
      name: this.#options.id,
      peerName: way.peer.id,
      announced: (announcement) => {
        ethernet.heard(announcement);
        this.#options.announced?.(announcement, ethernet.now);
      },
      opened: () => {
        way.isUp = true;
        way.retryUs = RETRY_US_MIN;
        log.info({ peer: way.peer.name }, 'trunk up');
        this.#options.changed?.(way.peer, true);
      },
      ended: (why) => this.#drop(way, trunk, why),
    });
    way.trunk = trunk;
    ethernet.turn(() => {
      for (const announcement of ethernet.announcements()) trunk.tell(announcement);
    });
  }

  #drop(way: Way, trunk: Trunk, why: string): void {
    trunk.close();
    if (way.trunk !== trunk) return;
    way.trunk = undefined;
    const wasUp = way.isUp;
    way.isUp = false;
    this.#options.log.info({ peer: way.peer.name }, `trunk down: ${why}`);
    if (wasUp) this.#options.changed?.(way.peer, false);
    this.#dialLater(way);
  }

  /** Signs of life out, and an end to trunks from which none has come for too long. */
  #housekeep(): void {
    this.#beat.set(nowUs() + PING_INTERVAL_US);
    this.#options.ethernet.turn((now) => {
      for (const way of this.#ways.values()) {
        if (way.trunk === undefined) continue;
        if (now - way.trunk.heardAt > SILENCE_US_MAX) this.#drop(way, way.trunk, 'silent');
        else way.trunk.ping(now);
      }
    });
  }
}
