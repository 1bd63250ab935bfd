/**
 * What a copy tells people: the reference's states and reasons (FACTS 3), and reports of events.
 *
 * From: primary and shadow. To: the host daemon, the center, the operator.
 */
import type { DelaySummary } from './gate-delays.ts';
import type { Micros } from './ports.ts';

/** Whether and why protection is wanted; the center decides, the copy only shows it. */
export type Protection = 'notConfigured' | 'disabled' | 'enabled';

export type FtState =
  | 'notConfigured'
  | 'disabled'
  | 'enabled'
  | 'needShadow'
  | 'starting'
  | 'running';

export type ShadowReason =
  | 'initializing'
  | 'divergence'
  | 'lostConnection'
  | 'partialHardwareFailure'
  | 'userAction'
  | 'checkpointError'
  | 'other';

export interface FtStatus {
  readonly state: FtState;
  /** Why a shadow is needed; undefined in every other state. */
  readonly reason: ShadowReason | undefined;
  readonly epoch: number;
  readonly generation: number;
  readonly shadow: { readonly host: string; readonly process: string } | undefined;
  readonly lagMicros: Micros;
  readonly logBytesSent: number;
  /** The least lately from a batch of the log to its acknowledgement; undefined: not known. */
  readonly logRoundTripMicros: Micros | undefined;
  readonly heldOutputs: number;
  /** How long outputs were held lately; undefined where none were. */
  readonly gateDelays: DelaySummary | undefined;
  /** Since when the arbiter has not answered; undefined while nothing is asked. */
  readonly arbiterSilentMicros: Micros | undefined;
}

/** Where two executions of one log differ for the first time, as far as fingerprints can tell. */
export interface Divergence {
  readonly position: number;
  readonly count: bigint;
  readonly expected: string;
  readonly actual: string;
  /** The last entries before it, one line each. */
  readonly recent: readonly string[];
}

/** Why a copy has ended. It never runs again; the host may end its process. */
export type Ended =
  | { readonly kind: 'off'; readonly text: string }
  | { readonly kind: 'suspended'; readonly text: string }
  | { readonly kind: 'handed-over'; readonly text: string }
  /** The other side won the arbitration. */
  | { readonly kind: 'lost-claim'; readonly text: string }
  | { readonly kind: 'dismissed'; readonly text: string }
  | { readonly kind: 'refused'; readonly text: string }
  | { readonly kind: 'disk-failed'; readonly text: string }
  | { readonly kind: 'diverged'; readonly text: string; readonly divergence: Divergence };

/**
 * How a shadow came to go live. `handed-over`: the primary consented; `silent`: it said nothing for
 * too long; `closed`: its log channel and its host's trunk were both closed; `doubted`: the trunk was
 * closed, and asked for a sign of life it gave none.
 */
export type GoLiveCause = 'handed-over' | 'silent' | 'closed' | 'doubted';

/** A go-live as the shadow has seen it. Times are of its own clock. */
export interface GoLiveStory {
  readonly cause: GoLiveCause;
  /** From the primary's last sign to the decision that it is lost; 0 for a hand-over. */
  readonly detectionMicros: Micros;
  /** From the primary's last sign to the first output of this copy: nobody spoke for the machine. */
  readonly interruptionMicros: Micros;
}

export type Report =
  | ({
      readonly kind: 'went-live';
      readonly generation: number;
      /** Outputs that the primary may have sent already. */
      readonly resent: number;
    } & GoLiveStory)
  | { readonly kind: 'protected'; readonly generation: number }
  | { readonly kind: 'need-shadow'; readonly reason: ShadowReason; readonly text: string }
  | {
      readonly kind: 'divergence';
      readonly divergence: Divergence;
      readonly own: readonly string[];
    }
  | { readonly kind: 'arbiter-unreachable'; readonly sinceMicros: Micros }
  | { readonly kind: 'arbiter-reachable' }
  /** The lease could not be renewed in time: this copy stands still, and says nothing. */
  | { readonly kind: 'lease-lapsed' }
  | { readonly kind: 'lease-renewed' }
  | { readonly kind: 'shadow-started'; readonly position: number; readonly pauseMicros: Micros }
  | { readonly kind: 'link-resumed'; readonly position: number }
  | { readonly kind: 'disk-error'; readonly disk: number; readonly request: number }
  | { readonly kind: 'hand-over-refused'; readonly text: string }
  | { readonly kind: 'suspend-refused'; readonly text: string }
  | { readonly kind: 'ended'; readonly ended: Ended };
