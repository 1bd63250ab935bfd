/**
 * What a host daemon and its VM processes say to each other over Node's IPC channel, and the first
 * message of a VM process on the switch's socket.
 *
 * A VM process lives and dies with its daemon: when the channel closes, it ends.
 */
import type { VmSpec, VmStatus } from '../../api/agent.ts';
import type { Tier } from '../tiers.ts';
import type { Standing } from '../trust.ts';

/** PEM files of this host, for the log channel and for asking the arbiter. */
export interface Credentials {
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface VmLaunch {
  readonly kind: 'launch';
  readonly vm: VmSpec;
  /** This host's own business, like all below: the other copy may be executed in another way. */
  readonly tier: Tier;
  /** This host's id in the cluster: its name at the arbiter and in its certificate. */
  readonly hostId: string;
  /** The folder of the image whose digest the spec names; it has been verified. */
  readonly imageDirectory: string;
  /** This VM's own folder: disks, and what must survive the process. */
  readonly directory: string;
  /** The VM's folder on its datastore: its disks, and what is saved or snapshot of it. */
  readonly sharedDirectory?: string;
  /** UNIX socket of the switch (framing: 4-byte big-endian length). */
  readonly switchSocket: string;
  readonly logAddress: string;
  readonly credentials: Credentials;
  /** Where `POST URL` takes an ask and answers it, any of them; https, mutual TLS. */
  readonly arbiterUrls: readonly string[];
  readonly role:
    | {
        readonly kind: 'live';
        readonly fenced: boolean;
        readonly acceptStale: boolean;
        /** Power on although there is a saved state, which is lost. */
        readonly discardState?: boolean;
        /** Of a VM on a datastore: the lease that it shall hold, and the one that has ended. */
        readonly leaseMs?: number;
        readonly lapsed?: string;
      }
    | {
        readonly kind: 'shadow';
        readonly primaryHost: string;
        readonly address: string;
        readonly port: number;
      };
}

export type ToVm =
  | VmLaunch
  /** Which host's shadow may connect; undefined: protection is not wanted. */
  | { readonly kind: 'protect'; readonly shadowHost: string | undefined }
  | { readonly kind: 'handOver' }
  | { readonly kind: 'stop'; readonly how: 'power-button' | 'power-off' | 'suspend' }
  | { readonly kind: 'reset' }
  /** Reset a guest that has not responded for so long; absent: never. */
  | { readonly kind: 'watchdog'; readonly seconds?: number }
  /** Of a live copy, whatever its protection; what comes of it is told by reports. */
  | { readonly kind: 'snapshot'; readonly id: string; readonly name: string }
  /** Of a live copy; may be repeated. */
  | {
      readonly kind: 'record';
      readonly id: string;
      readonly name: string;
      readonly bytesMax?: number;
    }
  | { readonly kind: 'stopRecording'; readonly id: string; readonly work: string }
  | { readonly kind: 'flight'; readonly seconds?: number; readonly bytesMax?: number }
  | { readonly kind: 'keepFlight'; readonly name: string; readonly work: string }
  | { readonly kind: 'dismiss' }
  /** From now on. */
  | { readonly kind: 'arbiters'; readonly urls: readonly string[] }
  | { readonly kind: 'consoleInput'; readonly bytes: string; readonly at?: number }
  /** The center may be another one: the end of what the console has shown, once more. */
  | { readonly kind: 'sayConsole' }
  /** Whether the trunk to a host is up: a shadow whose log and trunk both closed claims at once. */
  | { readonly kind: 'trunk'; readonly host: string; readonly up: boolean }
  /** Who is believed no more. */
  | { readonly kind: 'standing'; readonly standing: Standing }
  /** The files of the credentials have changed, for the next connections. */
  | { readonly kind: 'renewed' };

export type FromVm =
  | { readonly kind: 'status'; readonly status: VmStatus }
  | { readonly kind: 'report'; readonly report: Readonly<Record<string, unknown>> }
  /** `isTail`: what was asked for by `sayConsole`; empty where this copy is not live. */
  | {
      readonly kind: 'console';
      readonly offset: string;
      readonly bytes: string;
      readonly isTail?: true;
    }
  | {
      readonly kind: 'failed';
      readonly code: string;
      readonly message: string;
      readonly remedy: string;
    };

/**
 * On the switch's socket, as JSON behind a length with `switchControlBit`: the copy is live in this
 * generation. Only then do frames flow, both ways. A shadow connects early and says this when it
 * goes live; the same connection may say it again with a higher generation, or with more addresses
 * in the same one.
 */
export interface SwitchHello {
  readonly vmNumber: number;
  readonly mac: string;
  readonly epoch: number;
  readonly generation: number;
  /** The VLAN of this port, the same in every hello; absent: none. */
  readonly vlan?: number;
  /** Addresses to announce, dotted and as 32 hex digits; empty on a first power-on. */
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

/** A length with this bit set announces a SwitchHello instead of a frame. */
export const switchControlBit = 0x8000_0000;
