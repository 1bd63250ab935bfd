/**
 * Which daemon is at the other end of a TLS connection to the center, and may it be there.
 *
 * From: every request and WebSocket (server.ts). A certificate is looked at once a connection, when
 * it is made; membership with every request. Invariant: whoever has been revoked or removed is
 * refused from that moment on, and the connections that it had are closed.
 *
 * A certificate that has ended counts as long as its owner is not known to have a newer one: a
 * member whose renewals have not come through comes back, a key from an old backup does not.
 */
import { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import {
  dayOf,
  type PeerCertificate,
  peerCertificate,
  refusalOf,
} from '../api/peer-certificate.ts';
import { UmbraError } from '../base/errors.ts';
import type { Events } from './events.ts';
import type { Daemon, Inventory, Revoked } from './inventory.ts';
import type { Store } from './store/store.ts';

/** So that what was said last, such as why, is still read. */
const lastWordsMs = 500;

export class DaemonConnections {
  readonly #store: Store;
  readonly #inventory: Inventory;
  readonly #events: Events;
  #authority: X509Certificate | undefined;
  readonly #seen = new WeakMap<TLSSocket, PeerCertificate>();
  readonly #sockets = new Map<string, Set<TLSSocket>>();

  constructor(store: Store, inventory: Inventory, events: Events) {
    this.#store = store;
    this.#inventory = inventory;
    this.#events = events;
  }

  /** @param ca the cluster's, PEM; before the first connection */
  trust(ca: string): void {
    this.#authority = new X509Certificate(ca);
  }

  /**
   * @returns undefined if no certificate was shown
   * @throws UmbraError why the one that was shown is refused
   */
  daemonOf(socket: TLSSocket): Daemon | undefined {
    const certificate = this.#seen.get(socket) ?? this.#meet(socket);
    if (certificate === undefined) return undefined;
    const daemon = this.#inventory.daemon(certificate.name);
    if (daemon !== undefined) return daemon;
    throw noMember(certificate.name, this.#inventory.revoked(certificate.name));
  }

  /** It is no member any more. */
  close(daemonId: string): void {
    const sockets = this.#sockets.get(daemonId);
    if (sockets === undefined) return;
    setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, lastWordsMs);
  }

  #meet(socket: TLSSocket): PeerCertificate | undefined {
    if (socket.getPeerCertificate().raw === undefined) return undefined;
    const found = peerCertificate(socket, this.#authority!);
    if (typeof found === 'string') throw foreign(socket, found);
    const daemon = this.#inventory.daemon(found.name);
    if (daemon !== undefined) {
      const why = refusalOf(found, daemon.kind, daemon.certificateEnds);
      if (why !== undefined) throw refused(daemon, found, why);
      this.#note(daemon, found);
    }
    this.#seen.set(socket, found);
    const sockets = this.#sockets.get(found.name) ?? new Set();
    this.#sockets.set(found.name, sockets.add(socket));
    socket.once('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#sockets.get(found.name) === sockets) {
        this.#sockets.delete(found.name);
      }
    });
    return found;
  }

  #note(daemon: Daemon, { endsAt, hasEnded }: PeerCertificate): void {
    // Records are the leader's; daemons show it their new certificates, too.
    if (!this.#store.leads) return;
    const host = daemon.name;
    if (hasEnded && !daemon.certificateEndTold) {
      const text = `${host} is here with a certificate that ended on ${dayOf(endsAt)}`;
      this.#events.add('certificate-ended', text, { host });
      this.#inventory.putDaemon({ ...daemon, certificateEndTold: true });
    }
    if (endsAt <= (daemon.certificateEnds ?? 0)) return;
    this.#inventory.putDaemon({ ...daemon, certificateEnds: endsAt, certificateEndTold: hasEnded });
  }
}

/** One that is on no list may be a member after all: this center may be a restored backup. */
function noMember(id: string, revoked: Revoked | undefined): UmbraError {
  const remedy = 'Join again with a new token, in an empty folder.';
  if (revoked === undefined) {
    return new UmbraError('host-unknown', `"${id}" is not a member of the cluster`, remedy);
  }
  const { how, name, at } = revoked;
  const text = `"${name}" has been ${how}, on ${at.slice(0, 10)}`;
  return new UmbraError(`host-${how}`, text, remedy);
}

function foreign(socket: TLSSocket, why: string): UmbraError {
  const name = socket.getPeerCertificate().subject?.CN;
  return new UmbraError(
    'certificate-foreign',
    `the certificate of "${name}" is not of this cluster's CA: ${why}`,
    'Join this cluster with a token of this center, in a folder of its own.',
  );
}

function refused({ name, kind }: Daemon, certificate: PeerCertificate, why: string): UmbraError {
  const isEnded = certificate.kind === kind;
  return new UmbraError(
    isEnded ? 'certificate-ended' : 'certificate-of-another',
    `${name} is refused: ${why}`,
    isEnded
      ? 'Use the folder that this daemon ran with last; if it is lost, remove the host and join anew.'
      : 'Start each daemon with the folder that it joined with.',
  );
}
